//! What every store promises, told once and held against each of them. A store joins by giving a
//! `Place`: how to open it, and whether a second opening sees the same data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "store_conformance/claiming.rs"]
mod claiming;
#[path = "support/harness.rs"]
mod harness;
#[path = "store_conformance/keeping.rs"]
mod keeping;
#[path = "store_conformance/place.rs"]
mod place;
#[path = "store_conformance/reading.rs"]
mod reading;
#[path = "store_conformance/sharing.rs"]
mod sharing;

/// The suite, once for each store.
macro_rules! every_store {
    ($($chapter:ident { $($promise:ident),+ $(,)? })+) => {
        mod sqlite_file {
            $($(#[test] fn $promise() {
                let folder = crate::harness::Folder::new();
                crate::$chapter::$promise(&crate::place::sqlite_file(&folder));
            })+)+
        }
        mod postgres_server {
            $($(#[test] fn $promise() {
                let Some(database) = crate::harness::postgres::Database::new() else { return };
                crate::$chapter::$promise(&crate::place::postgres(&database));
            })+)+
        }
        mod sqlite_memory {
            $($(#[test] fn $promise() {
                crate::$chapter::$promise(&crate::place::sqlite_memory());
            })+)+
        }
    };
}

every_store! {
    keeping {
        what_is_loaded_is_what_was_applied,
        what_was_not_committed_never_was,
        an_idempotency_key_finds_its_task_and_only_that,
        the_same_document_keeps_its_number_and_a_changed_one_gets_its_own,
        a_step_keeps_its_result_and_its_last_error,
        a_step_gets_the_context_and_the_results_it_depends_on,
        what_ended_long_ago_is_deleted_whole_and_nothing_else,
    }
    claiming {
        what_is_due_comes_in_its_order_and_not_before_its_time,
        what_is_due_comes_in_portions,
        the_next_thing_due_is_the_earliest_of_all,
        steps_are_claimed_by_priority_then_in_turn_then_by_age,
        a_namespace_keeps_others_away,
        a_renewal_says_which_claims_are_lost,
        a_forgotten_worker_leaves_its_leases_due_at_once,
    }
    reading {
        what_nobody_stored_is_not_found,
        a_task_is_shown_whole,
        transitions_are_shown_in_order_with_their_metadata,
        tasks_are_counted_by_state,
        stored_templates_can_be_read_by_name,
    }
    sharing {
        a_reader_sees_only_what_is_committed,
        a_store_notices_what_another_one_committed_and_not_its_own,
        two_stores_hold_the_same_tasks,
        a_database_opened_again_has_kept_everything,
    }
}
