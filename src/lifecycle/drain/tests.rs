use tokio::task::JoinHandle;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn start(drain: &Drain, delay: Duration, timeout: Duration) -> JoinHandle<Report> {
    let drain = drain.clone();
    tokio::spawn(async move { drain.sequence(delay, timeout).await })
}

/// When, since `began`, something happened: paused time makes this exact.
async fn at(began: Instant, what: impl Future<Output = ()>) -> Duration {
    what.await;
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_through_its_stages_at_their_times() {
    let drain = Drain::new();
    let began = Instant::now();
    let token = drain.token();
    assert_eq!(drain.stage(), Stage::Running);
    let sequence = start(&drain, 5 * SECOND, 30 * SECOND);
    assert_eq!(at(began, drain.requested()).await, Duration::ZERO);
    assert_eq!(drain.stage(), Stage::Unready);
    assert_eq!(at(began, drain.draining()).await, 5 * SECOND);
    assert_eq!(drain.stage(), Stage::Draining);
    time::sleep(7 * SECOND).await;
    assert!(!sequence.is_finished());
    drop(token);
    let report = sequence.await.unwrap();
    assert_eq!(began.elapsed(), 12 * SECOND);
    assert_eq!(
        report,
        Report {
            cut: 0,
            remaining: 23 * SECOND
        }
    );
    assert_eq!(drain.stage(), Stage::Stopped);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_at_the_deadline_is_cut_and_counted() {
    let drain = Drain::new();
    let began = Instant::now();
    let holders: Vec<_> = (0..3)
        .map(|_| {
            let token = drain.token();
            tokio::spawn(async move {
                token.drain().cut().await;
                drop(token);
            })
        })
        .collect();
    let report = drain.sequence(Duration::ZERO, 30 * SECOND).await;
    assert_eq!(
        report,
        Report {
            cut: 3,
            remaining: Duration::ZERO
        }
    );
    assert_eq!(
        began.elapsed(),
        30 * SECOND,
        "those that end when cut cost no grace"
    );
    for holder in holders {
        holder.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_ignores_the_cut_delays_the_end_by_the_grace_only() {
    let drain = Drain::new();
    let began = Instant::now();
    let _token = drain.token();
    let report = drain.sequence(Duration::ZERO, 2 * SECOND).await;
    assert_eq!(report.cut, 1);
    assert_eq!(began.elapsed(), 2 * SECOND + CUT_GRACE);
    assert_eq!(drain.stage(), Stage::Stopped);
}

#[tokio::test(start_paused = true)]
async fn nothing_in_flight_ends_at_once() {
    let drain = Drain::new();
    let began = Instant::now();
    let report = drain.sequence(Duration::ZERO, 30 * SECOND).await;
    assert_eq!(report.cut, 0);
    assert_eq!(report.remaining, 30 * SECOND);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_second_request_to_stop_ends_either_wait() {
    for (stop_after, stage) in [(SECOND, Stage::Unready), (20 * SECOND, Stage::Draining)] {
        let drain = Drain::new();
        let began = Instant::now();
        let token = drain.token();
        let sequence = start(&drain, 10 * SECOND, 30 * SECOND);
        time::sleep(stop_after).await;
        assert_eq!(drain.stage(), stage);
        drain.cut_short();
        drain.cut().await;
        drop(token);
        assert_eq!(sequence.await.unwrap().cut, 1, "{stage:?}");
        assert_eq!(began.elapsed(), stop_after, "{stage:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_accepted_during_the_delay_is_waited_for() {
    let drain = Drain::new();
    let began = Instant::now();
    let sequence = start(&drain, 10 * SECOND, 30 * SECOND);
    time::sleep(9 * SECOND).await;
    let token = drain.token();
    time::sleep(4 * SECOND).await;
    assert!(!sequence.is_finished());
    drop(token);
    assert_eq!(sequence.await.unwrap().cut, 0);
    assert_eq!(began.elapsed(), 13 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn durations_beyond_the_clock_wait_for_the_last_token() {
    let drain = Drain::new();
    let token = drain.token();
    let sequence = start(&drain, Duration::ZERO, Duration::MAX);
    time::sleep(100 * SECOND).await;
    assert!(!sequence.is_finished());
    drop(token);
    assert_eq!(sequence.await.unwrap().cut, 0);
}

#[test]
fn tokens_on_other_runtimes_hold_the_drain_up() {
    const WORKERS: usize = 3;
    let drain = Drain::new();
    let workers: Vec<_> = (0..WORKERS)
        .map(|_| {
            let token = drain.token();
            std::thread::spawn(move || {
                tokio::runtime::Builder::new_current_thread()
                    .enable_time()
                    .build()
                    .unwrap()
                    .block_on(async { time::timeout(20 * SECOND, token.drain().draining()).await })
                    .unwrap();
                drop(token);
            })
        })
        .collect();
    assert_eq!(drain.tokens(), WORKERS);
    let report = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(drain.sequence(Duration::ZERO, 30 * SECOND));
    assert_eq!(report.cut, 0);
    assert_eq!(drain.tokens(), 0);
    for worker in workers {
        worker.join().unwrap();
    }
}
