//! Captures the `tracing` and `metrics` output of this thread as text.

use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, Once},
};

use metrics::{
    Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit, with_local_recorder,
};
use tracing::{
    Subscriber,
    field::{Field, Visit},
    span::{Attributes, Id, Record},
};

/// Lines of text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    pub(crate) fn add(&self, line: impl Into<String>) {
        self.0.lock().unwrap().push(line.into());
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Enables every log statement for the whole process. Each test of this binary that runs step-ups calls this first: while
/// one thread alone has a subscriber, `tracing` asks the thread that reaches a statement first, and without a subscriber
/// of its own that thread turns the statement off for all of them.
pub(crate) fn enabled() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| tracing::subscriber::set_global_default(Logging(Lines::default())).unwrap());
}

/// Runs a closure and captures its logs, at every level, and its counters.
pub(crate) fn caught<T>(logged: &Lines, counted: &Lines, run: impl FnOnce() -> T) -> T {
    enabled();
    let recorder = Counting(counted.clone());
    tracing::subscriber::with_default(Logging(logged.clone()), || with_local_recorder(&recorder, run))
}

struct Logging(Lines);

/// The fields, as text.
struct Fields(String);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        let _ = write!(self.0, " {field}={value}");
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, " {field}={value:?}");
    }
}

impl Subscriber for Logging {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut fields = Fields(format!("span {}", span.metadata().name()));
        span.record(&mut fields);
        self.0.add(fields.0);
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        let mut fields = Fields("record".to_owned());
        values.record(&mut fields);
        self.0.add(fields.0);
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut fields);
        self.0.add(fields.0);
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Counting(Lines);

impl Recorder for Counting {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().map(|label| format!(" {}={}", label.key(), label.value())).collect::<String>();
        Counter::from_arc(Arc::new(Line(self.0.clone(), format!("{}{labels}", key.name()))))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.0.add(format!("gauge {key:?}"));
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.0.add(format!("histogram {key:?}"));
        Histogram::noop()
    }
}

/// One series; each increment is a line.
struct Line(Lines, String);

impl CounterFn for Line {
    fn increment(&self, value: u64) {
        assert_eq!(value, 1);
        self.0.add(self.1.clone());
    }

    fn absolute(&self, _: u64) {
        panic!("counters are incremented");
    }
}
