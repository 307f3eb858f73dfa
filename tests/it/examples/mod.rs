//! The examples that show one thing each: every one is driven as its own lines say, and where it has to refuse.

mod dynamic_linking;
mod one_time;
mod refusals;
mod scope_and_age;
