//! The `gatepost` command.
use clap::{Args, Command, FromArgMatches};
use gatepost::config::{Config, Flags};
use gatepost::telemetry::Telemetry;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let matches = Flags::augment_args(Command::new("gatepost")).get_matches();
    let flags = Flags::from_arg_matches(&matches).unwrap();
    let loaded = Config::load(&flags, &|name| std::env::var_os(name)).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(loaded.config.worker_threads)
        .build()
        .unwrap();
    runtime.block_on(async {
        let telemetry = Telemetry::start(&loaded.config).unwrap();
        if let Err(error) = gatepost::server::run(&loaded.config, &telemetry).await {
            eprintln!("{error}");
            std::process::exit(1)
        }
    });
}
