//! `application/vnd.amazon.eventstream`: the binary frames of Bedrock's streams.
