//! `star serve`: a page that shows landmarks live, and `star predict` over HTTP.

mod guard;
mod listener;
mod predict;
mod question;
mod refusal;
mod routes;
mod workers;

use std::net::SocketAddr;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use star_predict::detector::FaceDetector;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;

use crate::args::ServeArgs;
use listener::Connections;
use predict::Service;
use workers::Workers;

/// Threads that read and write; images are looked at on others.
const TALKERS: usize = 2;

/// After the last answer, how long connections may take to get it.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs `star serve` until Ctrl-C: what is asked until then is answered.
///
/// # Errors
/// When the weights cannot be opened, or the address not be listened on.
pub(crate) fn run(args: &ServeArgs) -> Result<ExitCode> {
    ensure!(args.max_bytes > 0, "--max-bytes: expected at least 1, got 0");
    ensure!(args.max_pixels > 0, "--max-pixels: expected at least 1, got 0");
    let runtime = Builder::new_multi_thread().worker_threads(TALKERS).enable_all().build();
    let runtime = runtime.context("starting the threads of the server")?;
    // Before the weights: an address that is taken should be said at once.
    let address = SocketAddr::new(args.host, args.port);
    let listener = runtime
        .block_on(TcpListener::bind(address))
        .with_context(|| format!("listening on {address} (--host, --port)"))?;
    let address = listener.local_addr().context("the address that is listened on")?;
    let service = Arc::new(service(args)?);
    let stop = stop_on_ctrl_c()?;
    say!("serving on http://{address} (Ctrl-C stops)");
    if !address.ip().is_loopback() {
        say!("everybody who can reach this address can use it; there is no password");
    }
    serve(&runtime, listener, &service, &stop, address.ip().is_loopback())?;
    // A prediction that took longer than its time may still be under way; nobody waits for it.
    runtime.shutdown_timeout(Duration::from_millis(100));
    say!("stopped");
    Ok(ExitCode::SUCCESS)
}

fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    service: &Arc<Service>,
    stop: &Arc<Notify>,
    local: bool,
) -> Result<()> {
    runtime.block_on(async {
        // Longer than any request takes: who waits for an answer sends nothing meanwhile.
        let connections = Connections::new(listener, service.timeout + FAREWELL);
        let (begin, stopping) = (Arc::clone(stop), Arc::new(Notify::new()));
        let told = Arc::clone(&stopping);
        let server = axum::serve(connections, routes::router(Arc::clone(service), local))
            .with_graceful_shutdown(async move {
                begin.notified().await;
                told.notify_one();
            });
        // Connections on which nothing is asked would keep the server, a browser's for instance.
        let answered = async {
            stopping.notified().await;
            let _ = tokio::time::timeout(service.timeout, service.workers.idle()).await;
            tokio::time::sleep(FAREWELL).await;
        };
        tokio::select! {
            result = server => result.context("serving"),
            () = answered => Ok(()),
        }
    })
}

fn service(args: &ServeArgs) -> Result<Service> {
    let device = args.predictor.weights.device.open()?;
    let cores = rayon::current_num_threads().max(1);
    let parallel = args.parallel.map_or(cores, |parallel| usize::from(parallel.get()));
    let (predictor, scheme) = crate::predict::open(&args.predictor, &device, cores / parallel)?;
    let workers =
        Workers::new(NonZero::new(parallel).unwrap_or(NonZero::<usize>::MIN), usize::from(args.queue));
    Ok(Service {
        predictor,
        detector: FaceDetector::new(args.predictor.min_score).context("--min-score")?,
        any_rotation: args.predictor.turned,
        scheme,
        workers,
        timeout: Duration::from_secs(args.timeout.get().into()),
        max_bytes: args.max_bytes,
        max_pixels: args.max_pixels,
    })
}

/// Told once by Ctrl-C or a polite kill; a second one ends the program at once.
fn stop_on_ctrl_c() -> Result<Arc<Notify>> {
    let stop = Arc::new(Notify::new());
    let told = Arc::clone(&stop);
    let mut twice = false;
    ctrlc::set_handler(move || {
        if std::mem::replace(&mut twice, true) {
            std::process::exit(i32::from(crate::STOPPED));
        }
        say!("stopping when the requests under way are answered; once more to stop at once");
        told.notify_one();
    })
    .context("installing the Ctrl-C handler")?;
    Ok(stop)
}
