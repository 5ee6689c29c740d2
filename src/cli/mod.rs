//! The command line: flags to library calls. The only place that prints or decides on an exit code.

mod check;
mod demo;
mod explain;
mod serve;

use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{Config, Problem};
use crate::filter::Registry;
use crate::snapshot::every_problem;

/// The single door to your services: an API gateway in one process and one YAML file.
#[derive(Parser)]
#[command(name = "onedoor", version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "Exit codes: 0 all is well; 1 the file, a test or the start failed, and stderr says why; \
2 the command line was not understood.";

/// Where the configuration is.
#[derive(clap::Args)]
struct File {
    /// The configuration file.
    #[arg(short, long, value_name = "FILE", env = "ONEDOOR_CONFIG", default_value = "conf/onedoor.yaml")]
    config: PathBuf,
}

/// What the audit's findings count for.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Audit {
    /// The file is good all the same.
    Show,
    /// The file is refused for them.
    Deny,
}

#[derive(Subcommand)]
enum Command {
    /// Serve, in the foreground, until told to stop.
    ///
    /// HUP reloads the file (or keeps the old state and says why), TERM drains and leaves, a second TERM or INT leaves
    /// at once, USR1 opens log files anew.
    Run(File),
    /// Compile the file as `run` would and run its tests; serve nothing.
    Check {
        #[command(flatten)]
        file: File,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
        /// Also tell what weakens its security, such as routes without `auth`, secrets in the file, missing TLS.
        ///
        /// With `--audit=deny` the exit code is then 1.
        #[arg(long, value_name = "deny", value_enum, num_args = 0..=1, require_equals = true,
              default_missing_value = "show")]
        audit: Option<Audit>,
    },
    /// Run the tests that the file has, and show each.
    Test {
        #[command(flatten)]
        file: File,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Say what the door would do with a request, and why.
    Explain(explain::Arguments),
    /// Print the JSON Schema of the file, for editors.
    Schema,
    /// Start two small services and a door in front of them, with the requests to try.
    Demo(demo::Arguments),
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the man page.
    Man,
}

/// Runs the `onedoor` command with these kinds of filter: the whole of a `main`.
///
/// Everything the command line does (`run`, `check`, `explain`, `schema`, …) knows the kinds of the registry.
///
/// ```no_run
/// fn main() -> std::process::ExitCode {
///     onedoor::run(onedoor::builtins())
/// }
/// ```
#[must_use]
pub fn run(registry: Registry) -> ExitCode {
    run_from(registry, std::env::args_os())
}

/// [`run`] with these arguments, the first being the program's name.
#[must_use]
pub fn run_from<A: Into<OsString> + Clone>(registry: Registry, arguments: impl IntoIterator<Item = A>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version go to stdout with 0, mistakes to stderr with 2. If neither can be written to there is
            // nobody left to tell.
            e.print().ok();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    match cli.command {
        Command::Run(file) => serve::serve(&file.config, registry),
        Command::Check { file, json, audit } => check::check(&file.config, &registry, json, audit),
        Command::Test { file, json } => check::test(&file.config, &registry, json),
        Command::Explain(arguments) => explain::explain(&arguments, &registry),
        Command::Schema => print(&pretty(&crate::config::schema(registry.schemas()))),
        Command::Demo(arguments) => demo::demo(&arguments, registry),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "onedoor", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man => {
            let mut page = Vec::new();
            match man(&mut page) {
                Ok(()) => print(&String::from_utf8_lossy(&page)),
                Err(e) => fail(&format!("the man page could not be made: {e}")),
            }
        }
    }
}

/// One page for the command and all its subcommands.
fn man(page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let subcommands: Vec<clap::Command> = command.get_subcommands().cloned().collect();
    let whole = clap_mangen::Man::new(command);
    whole.render_title(page)?;
    whole.render_name_section(page)?;
    whole.render_synopsis_section(page)?;
    whole.render_description_section(page)?;
    writeln!(page, ".SH COMMANDS")?;
    for subcommand in subcommands {
        writeln!(page, ".SS \"onedoor {}\"", subcommand.get_name())?;
        let part = clap_mangen::Man::new(subcommand);
        let mut text = Vec::new();
        part.render_description_section(&mut text)?;
        part.render_options_section(&mut text)?;
        for line in String::from_utf8_lossy(&text).lines() {
            // One page has one section of each name; a subcommand's are paragraphs of its own.
            match line {
                ".SH DESCRIPTION" | ".SH OPTIONS" => writeln!(page, ".PP")?,
                line => writeln!(page, "{line}")?,
            }
        }
    }
    whole.render_extra_section(page)
}

/// Prints to stdout. A reader that has left, as `head` does, is no failure.
fn print(text: &str) -> ExitCode {
    let mut out = anstream::stdout().lock();
    let end = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{end}").and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(e) => fail(&format!("nothing can be written to stdout: {e}")),
    }
}

fn fail(message: &str) -> ExitCode {
    anstream::eprintln!("{ERROR}error:{ERROR:#} {message}");
    ExitCode::FAILURE
}

/// Prints every problem to stderr, and what to do next.
fn fail_all(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        anstream::eprintln!("{ERROR}error:{ERROR:#} {problem}");
    }
    anstream::eprintln!("{}", count(problems.len(), "problem"));
    ExitCode::FAILURE
}

/// Why a file was refused: for people, or as one JSON object.
fn refused(problems: &[Problem], json: bool) -> ExitCode {
    if json {
        print(&pretty(&serde_json::json!({ "ok": false, "problems": problems, "warnings": [] })));
        return ExitCode::FAILURE;
    }
    fail_all(problems)
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn warn_all(warnings: &[Problem]) {
    for warning in warnings {
        anstream::eprintln!("{WARNING}{warning}{WARNING:#}");
    }
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|e| format!("{{\"error\": \"{e}\"}}"))
}

/// A file that was read, its warnings told.
fn load(file: &Path, registry: &Registry) -> Result<Config, Vec<Problem>> {
    let (config, warnings) = Config::load(file).map_err(|refused| every_problem(refused, registry))?;
    warn_all(&warnings);
    Ok(config)
}

fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
}

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().bold();
const WARNING: anstyle::Style = anstyle::AnsiColor::Yellow.on_default().bold();
const GOOD: anstyle::Style = anstyle::AnsiColor::Green.on_default();
const STRONG: anstyle::Style = anstyle::Style::new().bold();
const FAINT: anstyle::Style = anstyle::Style::new().dimmed();
