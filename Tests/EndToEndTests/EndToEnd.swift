import Testing

/// Everything here starts real processes. They run one after the other: a machine with two cores has no room for more, and what a test
/// says about time must hold.
@Suite(.serialized, .timeLimit(.minutes(5))) struct EndToEnd {}
