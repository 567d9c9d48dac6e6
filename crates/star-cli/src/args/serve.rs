//! `star serve`.

use std::net::IpAddr;
use std::num::NonZero;

use clap::Args;

use super::PredictorArgs;

/// Arguments of `star serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// What finds the landmarks.
    #[command(flatten)]
    pub predictor: PredictorArgs,
    /// Address to listen on; one that others can reach, such as 0.0.0.0, is open to all of them
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub host: IpAddr,
    /// Port to listen on; 0 takes a free one
    #[arg(long, default_value_t = 8080, value_name = "N")]
    pub port: u16,
    /// Images that are looked at together [default: one a core]
    #[arg(long, value_name = "N")]
    pub parallel: Option<NonZero<u16>>,
    /// Requests that wait for one of these to be over; more are answered with 503 and when to come again
    #[arg(long, default_value_t = 16, value_name = "N")]
    pub queue: u16,
    /// Seconds that a request may take, from its first byte to its answer
    #[arg(long, default_value_t = NonZero::new(30).expect("30 is not 0"), value_name = "S")]
    pub timeout: NonZero<u16>,
    /// Largest file of an image, bytes
    #[arg(long, default_value_t = 20_000_000, value_name = "N")]
    pub max_bytes: usize,
    /// Most pixels of an image, width times height
    #[arg(long, default_value_t = 50_000_000, value_name = "N")]
    pub max_pixels: u64,
}
