import Testing

/// All tests here start real processes. They run one after the other: a machine with two cores has no room for more, and the tests check
/// times.
@Suite(.serialized, .timeLimit(.minutes(5))) struct EndToEnd {}
