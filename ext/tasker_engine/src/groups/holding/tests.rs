use super::*;

fn at(row: i64) -> Position {
    Position { xid: 0, row }
}

fn holding(key_order: bool) -> Holding {
    Holding::new(GroupState { cursor: at(10), patterns: vec!["#".into()], key_order }).unwrap()
}

fn read(holding: &mut Holding, rows: std::ops::RangeInclusive<i64>, key: Option<&str>) {
    for row in rows {
        holding.give(&Seen { at: at(row), name: "e".into(), key: key.map(Arc::from) });
        holding.read = at(row);
    }
}

fn ended(delivery: i64, how: How) -> Outcome {
    Outcome { delivery, how }
}

fn handled(rows: impl IntoIterator<Item = i64>) -> Vec<Outcome> {
    rows.into_iter().map(|row| ended(row, How::Handled)).collect()
}

fn failed(retry_in: Option<u64>) -> How {
    How::Failed { error: "{}".into(), retry_in: retry_in.map(Duration::from_secs) }
}

fn settle(holding: &mut Holding, outcomes: &[Outcome]) -> Settlement {
    let (settlement, recalled) = holding.settlement(outcomes);
    holding.settled(outcomes, &recalled, &settlement);
    settlement
}

#[test]
fn the_cursor_stands_before_the_oldest_in_hand() {
    let mut holding = holding(false);
    assert_eq!(holding.cursor(), at(10));
    read(&mut holding, 11..=14, None);
    assert_eq!(settle(&mut holding, &handled([12, 14])).cursor, at(10), "11 is in hand");
    assert_eq!(settle(&mut holding, &handled([11])).cursor, at(12), "13 is");
    assert_eq!(settle(&mut holding, &handled([13])).cursor, at(14));
    holding.read = at(20);
    assert_eq!((holding.cursor(), holding.len()), (at(20), 0), "what nobody wants is passed");
}

#[test]
fn what_failed_gets_a_row_and_the_cursor_goes_on() {
    let mut holding = holding(false);
    read(&mut holding, 11..=13, Some("k"));
    let outcomes = [ended(11, failed(Some(5))), ended(12, failed(None)), ended(13, How::Later(Duration::from_secs(7)))];
    let settlement = settle(&mut holding, &outcomes);
    assert_eq!(settlement.cursor, at(13));
    let put: Vec<_> = settlement.put.iter().map(|put| (put.row, put.attempts, put.then.clone())).collect();
    let after = |seconds| Then::After(Duration::from_secs(seconds));
    assert_eq!(put, [(11, 1, after(5)), (12, 1, Then::Dead), (13, 0, after(7))]);
    assert!(settlement.wake.is_empty() && settlement.put.iter().all(|put| put.key.is_none()), "no order is asked for");

    let due = DueDelivery { at: at(11), key: None, attempts: 1 };
    assert_eq!(holding.give_again(&due), 2);
    assert_eq!(holding.standing(), [11]);
    let settlement = settle(&mut holding, &handled([11]));
    assert_eq!((settlement.done, settlement.cursor), (vec![11], at(13)));
}

#[test]
fn what_was_given_out_behind_one_that_failed_is_taken_back() {
    let mut holding = holding(true);
    read(&mut holding, 11..=13, Some("k"));
    read(&mut holding, 14..=14, Some("other"));
    read(&mut holding, 15..=15, None);
    let (settlement, recalled) = holding.settlement(&[ended(11, failed(Some(1)))]);
    assert_eq!(recalled, [12, 13]);
    let put: Vec<_> = settlement.put.iter().map(|put| (put.row, put.attempts, put.then == Then::Parked)).collect();
    assert_eq!(put, [(11, 1, false), (12, 0, true), (13, 0, true)]);
    assert!(settlement.wake.is_empty());
    assert_eq!(settlement.cursor, at(13));
    holding.settled(&[ended(11, failed(Some(1)))], &recalled, &settlement);
    assert_eq!((holding.len(), holding.is_in_hand(12), holding.is_in_hand(14)), (2, false, true));
    assert!(settle(&mut holding, &handled([12])).done.is_empty(), "whatever somebody did with it");

    let (_, recalled) = holding.settlement(&[ended(14, failed(None)), ended(15, failed(Some(1)))]);
    assert!(recalled.is_empty(), "one that is dead is in nobody's way, nor is one without a key");
}

#[test]
fn what_waits_for_its_key_is_woken_when_the_one_before_it_is_out_of_the_way() {
    let mut holding = holding(true);
    for how in [How::Handled, failed(None)] {
        holding.give_again(&DueDelivery { at: at(11), key: Some("k".into()), attempts: 1 });
        assert_eq!(settle(&mut holding, &[ended(11, how)]).wake, [Arc::from("k")]);
    }
    for how in [failed(Some(1)), How::Later(Duration::ZERO)] {
        holding.give_again(&DueDelivery { at: at(11), key: Some("k".into()), attempts: 1 });
        assert!(settle(&mut holding, &[ended(11, how)]).wake.is_empty(), "it is still in the way");
    }
}

#[test]
fn one_that_hangs_holds_the_cursor_back_for_a_while_only() {
    let mut holding = holding(true);
    let last = 11 + i64::try_from(AHEAD).unwrap();
    read(&mut holding, 11..=last - 1, Some("k"));
    assert_eq!(settle(&mut holding, &handled(12..last)).cursor, at(10));
    read(&mut holding, last..=last, Some("k"));
    let settlement = settle(&mut holding, &handled([last]));
    assert_eq!((settlement.cursor, settlement.put.len()), (at(last), 1));
    assert_eq!((settlement.put[0].row, &settlement.put[0].then), (11, &Then::After(Duration::ZERO)));
    assert_eq!((holding.standing(), holding.len()), (vec![11], 1), "it is in hand still");
    let settlement = settle(&mut holding, &handled([11]));
    assert_eq!((settlement.done, settlement.wake), (vec![11], vec![Arc::from("k")]));
}

#[test]
fn other_patterns_read_again_what_is_behind_the_cursor_and_not_what_is_in_hand() {
    let mut holding = holding(false);
    read(&mut holding, 11..=13, None);
    settle(&mut holding, &handled([11]));
    let state = GroupState { cursor: at(11), patterns: vec!["a.*".into()], key_order: false };
    holding.is(state.clone()).unwrap();
    assert_eq!((holding.read, holding.is_in_hand(12)), (at(11), true));
    read(&mut holding, 14..=14, None);
    holding.is(state).unwrap();
    assert_eq!(holding.read, at(14), "the same patterns change nothing");
}

#[test]
fn what_is_not_in_hand_is_left_out_and_said_twice_counts_once() {
    let mut holding = holding(false);
    read(&mut holding, 11..=11, None);
    let outcomes = [ended(11, failed(None)), ended(11, How::Handled), ended(99, failed(None))];
    assert_eq!(holding.settlement(&outcomes).0.put.len(), 1);
}
