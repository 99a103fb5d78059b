//! Owns: what an event may be called and how large its parts may be. Refuses: cutting anything short to make it fit.

/// The longest name, in bytes.
const NAME_BYTES: usize = 128;
/// The longest key, in bytes: an index holds it.
pub const KEY_BYTES: usize = 255;
/// The longest payload that an application gives, in bytes of JSON.
pub const PAYLOAD_BYTES: usize = 256 * 1024;
/// The most events that a handler publishes in one attempt.
pub const EVENTS_OF_ATTEMPT: usize = 1_000;
/// The longest namespace: PGMQ takes queues of 47 characters, `_domain_events` included.
const NAMESPACE_BYTES: usize = 33;
/// Text that is not the engine's is shown up to so many characters.
const SHOWN: usize = 80;

/// Checks an event's name: lower-case words with dots in between, such as `order.payment_processed`.
///
/// # Errors
/// What is wrong with it and what to write instead.
pub fn check_name(name: &str) -> Result<(), String> {
    if name.len() > NAME_BYTES {
        let (length, shown) = (name.len(), shown(name));
        return Err(format!("event name {shown} has {length} bytes; shorten it to at most {NAME_BYTES}"));
    }
    if name.contains('.') && name.split('.').all(is_word) {
        return Ok(());
    }
    Err(format!(
        "event name {} is not allowed; write words with dots in between, such as `order.payment_processed`: each begins \
         with a lower-case letter and goes on with lower-case letters, digits and `_`",
        shown(name)
    ))
}

/// Checks the namespace an event is published in.
///
/// # Errors
/// What is wrong with it and what to write instead.
pub fn check_namespace(namespace: &str) -> Result<(), String> {
    if is_word(namespace) && namespace.len() <= NAMESPACE_BYTES {
        return Ok(());
    }
    Err(format!(
        "namespace {} is not allowed; begin with a lower-case letter, go on with lower-case letters, digits and `_`, at most \
         {NAMESPACE_BYTES} characters",
        shown(namespace)
    ))
}

/// Checks a key.
///
/// # Errors
/// What is wrong with it and what to write instead.
pub fn check_key(name: &str, key: &str) -> Result<(), String> {
    if key.len() > KEY_BYTES {
        let length = key.len();
        return Err(format!("event {}: its key has {length} bytes; shorten it to at most {KEY_BYTES}", shown(name)));
    }
    if key.is_empty() || key.contains('\0') {
        return Err(format!(
            "event {}: its key is empty or has a NUL in it; leave it out, or give it text",
            shown(name)
        ));
    }
    Ok(())
}

/// Checks the size of a payload that an application gives.
///
/// # Errors
/// What is wrong with it and what to do instead.
pub fn check_payload(name: &str, payload: &str) -> Result<(), String> {
    if payload.len() <= PAYLOAD_BYTES {
        return Ok(());
    }
    Err(format!(
        "event {}: its payload is {} bytes of JSON; at most {PAYLOAD_BYTES} are allowed: store it elsewhere and say where",
        shown(name),
        payload.len()
    ))
}

/// `[a-z][a-z0-9_]*`
fn is_word(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    text.starts_with(|first: char| first.is_ascii_lowercase()) && text.bytes().all(allowed)
}

/// Text between backticks, on one line and short.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    format!("`{short}{}`", if text.chars().nth(SHOWN).is_some() { "..." } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_with_dots_in_between() {
        for good in ["order.placed", "a.b.c", "payment.step_2"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "order", "Order.placed", "order..placed", ".a", "a.", "a.b\0", "a.'b", "a.é", "a b.c", "1a.b"]
        {
            assert!(check_name(bad).unwrap_err().contains("write words with dots"), "{bad:?}");
        }
        let long = format!("a.{}", "b".repeat(10_000));
        let said = check_name(&long).unwrap_err();
        assert!(said.contains("has 10002 bytes; shorten it to at most 128") && said.len() < 200, "{said}");
        assert_eq!(check_name(&format!("a.{}", "b".repeat(126))), Ok(()));
    }

    #[test]
    fn keys_payloads_and_namespaces_have_their_bounds() {
        assert_eq!(check_key("a.b", &"k".repeat(255)), Ok(()));
        assert!(check_key("a.b", &"k".repeat(256)).unwrap_err().contains("at most 255"));
        assert!(check_key("a.b", "a\0").unwrap_err().contains("NUL"));
        assert_eq!(check_payload("a.b", &"1".repeat(PAYLOAD_BYTES)), Ok(()));
        assert!(check_payload("a.b", &"1".repeat(PAYLOAD_BYTES + 1)).unwrap_err().contains("262145 bytes"));
        assert_eq!(check_namespace(&"n".repeat(33)), Ok(()));
        for bad in ["", "Shop", "a-b", "a'b", &"n".repeat(34)] {
            assert!(check_namespace(bad).is_err(), "{bad:?}");
        }
    }
}
