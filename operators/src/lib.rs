//! The language of Riverrun: jobs, streams and every operator.
