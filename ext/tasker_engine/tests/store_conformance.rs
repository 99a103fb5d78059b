//! What every store promises, told once and held against each of them. A store joins by giving a
//! `Place`: how to open it, and whether a second opening sees the same data.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "store_conformance/claiming.rs"]
mod claiming;
#[path = "store_conformance/events.rs"]
mod events;
#[path = "store_conformance/following.rs"]
mod following;
#[path = "store_conformance/future.rs"]
mod future;
#[path = "support/harness.rs"]
mod harness;
#[path = "store_conformance/holding.rs"]
mod holding;
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
        what_waits_is_counted_by_queue,
    }
    events {
        events_are_kept_in_their_order_with_all_they_say,
        many_events_of_several_namespaces_are_written_at_once,
        events_of_a_transaction_that_was_not_committed_never_were,
        an_event_that_is_there_already_is_refused,
        a_file_s_other_process_is_woken_when_a_group_follows,
        old_events_are_deleted_but_none_that_somebody_has_still_to_deal_with,
    }
    holding {
        a_lease_lasts_as_long_as_it_is_renewed,
        a_worker_that_was_forgotten_can_commit_no_claim,
        a_workers_row_tells_whoever_takes_over_what_it_held,
        workers_are_listed_by_their_host,
        a_worker_hears_which_of_its_claims_others_have_ended,
        many_tasks_are_found_and_loaded_at_once,
        who_read_a_task_before_another_changed_it_cannot_write_it,
    }
    reading {
        what_nobody_stored_is_not_found,
        a_task_is_shown_whole,
        transitions_are_shown_in_order_with_their_metadata,
        tasks_are_counted_by_state,
        stored_templates_can_be_read_by_name,
        views_show_the_journal_as_rows,
        those_that_have_ended_are_found_in_one_look,
    }
    future {
        a_state_of_a_newer_version_is_shown_and_left_as_it_is,
        fields_of_a_newer_version_in_a_template_are_passed_over,
        an_old_template_that_cannot_be_read_hides_no_other,
        columns_and_tables_of_a_newer_version_do_no_harm,
        a_newer_schema_is_refused_unless_it_only_adds,
        a_row_that_makes_no_sense_is_named_and_the_others_are_loaded,
    }
    following {
        a_group_begins_where_it_is_told_and_keeps_its_place,
        one_process_at_a_time_reads_for_a_group,
        events_come_in_their_order_and_in_portions,
        what_failed_comes_again_when_its_time_has_come,
        nothing_is_written_for_one_who_lost_the_lease,
        a_cursor_stays_when_the_group_wants_other_events_meanwhile,
        a_key_waits_behind_a_retry_and_not_behind_a_dead_letter,
        what_is_woken_comes_in_portions_and_in_order,
        who_takes_over_wakes_what_waits_for_nothing,
        dead_letters_are_shown_delivered_again_and_forgotten,
        groups_are_listed_with_what_is_behind_them_and_can_be_forgotten,
    }
    sharing {
        a_reader_sees_only_what_is_committed,
        a_store_notices_what_another_one_committed_and_not_its_own,
        two_stores_hold_the_same_tasks,
        a_database_opened_again_has_kept_everything,
    }
}
