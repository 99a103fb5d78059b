//! Owns: leaving and taking back Ruby's GVL, and with it all `unsafe` of the project. Refuses:
//! knowing what is waited for.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::c_void;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::Duration;

use magnus::value::ReprValue;
use magnus::{RString, Ruby};
use tasker_engine::interrupt::Interrupt;

use crate::errors::{panic_message, Fault};

/// What the thread without the GVL needs: the work, and room for its answer.
struct Call<F, T> {
    work: F,
    answer: Option<Result<T, Box<dyn Any + Send>>>,
}

/// Runs `work` without the GVL and processes what Ruby has pending for this thread (a signal's
/// trap, `Thread#raise`, `Thread#kill`) before it runs and whenever Ruby cuts it short.
///
/// `work` gets a fresh [`Interrupt`]; Ruby sets it when the thread should stop waiting. It means
/// only that: `work` answers with what it has, and is called again when it says `None`.
pub fn without<T: Send>(ruby: &Ruby, mut work: impl FnMut(&Interrupt) -> Option<T> + Send) -> Result<T, Fault> {
    loop {
        ruby.thread_check_ints()?;
        if let Some(answer) = once(&mut work)? {
            return Ok(answer);
        }
    }
}

/// The longest a thread should wait in one stretch without the GVL.
///
/// Up to Ruby 3.2 a signal's trap wakes the main thread only while some thread sleeps in Ruby itself;
/// when all of them wait out here, nobody is told. So the main thread looks for itself.
pub fn stretch(ruby: &Ruby) -> Duration {
    if ruby.thread_current().equal(ruby.thread_main()).unwrap_or(true) {
        Duration::from_millis(50)
    } else {
        Duration::from_secs(3600)
    }
}

/// One stretch without the GVL. `None`: Ruby had something pending, or cut the work short.
fn once<T: Send>(work: &mut (impl FnMut(&Interrupt) -> Option<T> + Send)) -> Result<Option<T>, Fault> {
    let interrupt = Interrupt::new();
    let seen = interrupt.clone();
    let mut call = Call { work: || work(&seen), answer: None };
    release(&mut call, &interrupt);
    match call.answer {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(panic)) => Err(Fault::Panic(panic_message(&*panic))),
        None => Ok(None),
    }
}

fn release<F, T>(call: &mut Call<F, T>, interrupt: &Interrupt)
where
    F: FnMut() -> T + Send,
    T: Send,
{
    // SAFETY: `call` and `interrupt` outlive the call, which blocks until `run` is over and no
    // longer uses `unblock` once it returned. `run` and `unblock` are the functions for exactly
    // these two types. This variant never raises: it returns without running when an interrupt is
    // pending, so no Rust frame is ever skipped.
    unsafe {
        rb_sys::rb_thread_call_without_gvl2(
            Some(run::<F, T>),
            std::ptr::from_mut(call).cast(),
            Some(unblock),
            std::ptr::from_ref(interrupt).cast_mut().cast(),
        );
    }
}

/// Runs without the GVL: must not touch Ruby, must not unwind.
unsafe extern "C" fn run<F: FnMut() -> T + Send, T: Send>(data: *mut c_void) -> *mut c_void {
    // SAFETY: `release` passed a `Call<F, T>` that nobody else touches until this returns.
    let call = unsafe { &mut *data.cast::<Call<F, T>>() };
    let work = &mut call.work;
    call.answer = Some(catch_unwind(AssertUnwindSafe(work)));
    std::ptr::null_mut()
}

/// Called by Ruby, from any of its threads and as often as it likes, to say: stop waiting.
unsafe extern "C" fn unblock(data: *mut c_void) {
    // SAFETY: `release` passed an `Interrupt` that lives as long as Ruby may call this.
    let interrupt = unsafe { &*data.cast::<Interrupt>() };
    // A panic here must not reach Ruby's C frames; there is nobody to tell.
    let _ = catch_unwind(AssertUnwindSafe(|| interrupt.set()));
}

/// Reads a Ruby String without copying it. `read` must not call Ruby.
pub fn with_str<T>(string: RString, read: impl FnOnce(&str) -> T) -> Result<T, Fault> {
    // SAFETY: Ruby does not run, so does not move or change the String, while `read` has it.
    let text = unsafe { string.as_str() }?;
    Ok(read(text))
}
