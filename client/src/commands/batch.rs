//! `reel batch`: makes a picture for each line of a file. A later run makes only what is missing or changed.

use std::{
    collections::HashSet,
    ffi::OsStr,
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use crate::{
    batch::{
        self, Defaults, Directory, Input, Item, ItemToMake, LineResult, Made, Order, Reading, Record, Report,
        Step,
    },
    commands::generate::cache_mode,
    context::Context,
    creatable::{self, PICTURE_BYTES},
    dry_run::{self, Summary},
    exit::Exit,
    failure::Failure,
    save::Existing,
    table, units,
};

/// Largest input, in bytes. Far more than a person writes, and little enough to fit into memory.
const INPUT_BYTES: u64 = 256 * 1024 * 1024;

/// The input, the output directory and the options of a batch.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[command(
    after_help = "Example: reel batch prompts.txt -o out/\n\nA line is a prompt, or a JSON object such as {\"prompt\": \"a lighthouse\", \"style\": \"watercolor\", \"name\": \"shot 3\"}.\nA line with a kind asks another service: {\"kind\": \"voice.speak\", \"text\": \"The lamp went out.\"}.\nA JSON array and a table (CSV, TSV) with a column `prompt` are read too.\nFiles are named NNN-slug in line order; the ending follows the picture that the provider sends, unless a line's name has one."
)]
pub struct Args {
    /// The file of prompts, or - for stdin.
    file: PathBuf,
    /// The directory to write to; created if it does not exist.
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// Width and height in pixels, or a ratio such as 16:9 [default: 1024x1024].
    #[arg(short, long, value_name = "WxH", value_parser = units::parse_size)]
    size: Option<(u32, u32)>,
    /// One of `reel styles`.
    #[arg(long)]
    style: Option<String>,
    /// One of `reel providers` [default: the best that is usable].
    #[arg(long)]
    provider: Option<String>,
    /// A label for the batch.
    #[arg(long)]
    name: Option<String>,
    /// Read a table and take the prompts from this column; ignore columns that are no fields of a picture.
    #[arg(long, value_name = "NAME", conflicts_with = "literal")]
    column: Option<String>,
    /// Take every line as a prompt, even if it looks like JSON, a comment or a table.
    #[arg(long)]
    literal: bool,
    /// Replace files that were changed or that no batch wrote.
    #[arg(long)]
    force: bool,
    /// Print what would be made, by whom and for how much, without asking a provider.
    #[arg(long)]
    dry_run: bool,
    /// Make every picture again.
    #[arg(long, conflicts_with = "no_cache")]
    fresh: bool,
    /// Neither read pictures from the cache nor store them there.
    #[arg(long)]
    no_cache: bool,
}

/// Makes the results of the lines, and prints the report.
pub async fn run(context: &Context, args: Args) -> Result<Exit, Failure> {
    let begun = Instant::now();
    let defaults = Defaults { size: args.size, style: args.style.clone() };
    let input = Input::read(&read_input(&args.file)?, &defaults, &reading(&args))?;
    if let Some(note) = &input.note {
        context.output.note(note);
    }
    let items = batch::plan(input.lines, args.provider.as_deref())
        .map_err(|error| Failure::new(Exit::BadData, "bad_data", error.to_string()))?;
    if items.is_empty() {
        let message = format!("{} has no prompt", table::path(&args.file));
        return Err(Failure::new(Exit::BadData, "bad_data", message).hint("write one prompt on each line"));
    }
    let lines = name_of(&args.file);
    let order = Order {
        directory: args.output.clone(),
        provider: args.provider.clone(),
        cache: cache_mode(args.fresh, args.no_cache),
        name: args.name.clone(),
        lines: lines.clone(),
    };
    if args.dry_run {
        return dry_run(context, &args, &items, &order).await;
    }
    let mut record = Record::open(&args.output)?;
    let mut directory = Directory::new(&args.output);
    let renamed = directory.follow_lines(&items, &mut record, &lines)?;
    let (wanted, mut results) = sort_out(&args, &items, &record, &mut directory)?;
    let (mut has_only_draft, mut batch) = (false, None);
    if !wanted.is_empty() {
        creatable::check_room(&args.output, PICTURE_BYTES)?;
        let session = Arc::new(context.session().await?);
        let made: Made =
            batch::make(context.output, Arc::clone(&session), &order, &items, &wanted, &mut record).await?;
        context.note_version(&session.client());
        let is_draft = made.results.values().any(LineResult::is_draft);
        has_only_draft = is_draft && session.has_only_draft("image").await.unwrap_or(false);
        results.extend(made.results);
        batch = made.batch;
    }
    results.sort_unstable_by_key(|(item_index, _)| *item_index);
    let results = results.into_iter().map(|(_, result)| result).collect();
    let report = Report::new(results, table::path(&args.output), begun.elapsed())
        .of_batch(batch)
        .of_kinds(items.iter().map(|item| item.kind.as_str()))
        .with_earlier(renamed, directory.unasked(&items, &record, &lines));
    say(context, &args.output, &report, has_only_draft)
}

/// Prints what would be made, and writes no result.
async fn dry_run(context: &Context, args: &Args, items: &[Item], order: &Order) -> Result<Exit, Failure> {
    let record = if args.output.is_dir() { Some(Record::open(&args.output)?) } else { None };
    let mut directory = Directory::new(&args.output);
    let renamed = match &record {
        Some(record) => directory.would_follow_lines(items, record, &order.lines)?,
        None => HashSet::new(),
    };
    let session = context.session().await?;
    let mut summary = Summary::default();
    for item in items {
        let is_kept = match &record {
            Some(_) if !args.fresh && renamed.contains(&item.stem) => true,
            Some(record) => {
                matches!(directory.step(item, record, args.force, args.fresh)?, Step::Keep(_))
            }
            None => false,
        };
        if is_kept {
            summary.add_kept();
            continue;
        }
        let result = dry_run::ask(&session, &batch::spec(order, item)).await.map_err(|mut failure| {
            failure.error.message = format!("line {}: {}", item.line, failure.error.message);
            failure
        })?;
        summary.add(&result);
    }
    context.note_version(&session.client());
    context.output.document(&summary)?;
    context.output.line(&summary.words())?;
    context.output.note("this was a dry run: no provider was asked");
    Ok(Exit::Done)
}

/// Chooses how the input is read. The extension decides whether a file is a table, unless an option does.
fn reading(args: &Args) -> Reading {
    let ending = args.file.extension().map(OsStr::to_ascii_lowercase);
    let is_table = ending.is_some_and(|ending| ["csv", "tsv", "tab"].iter().any(|table| ending == *table));
    match &args.column {
        _ if args.literal => Reading::Literal,
        Some(column) => Reading::Table(Some(column.clone())),
        None if is_table => Reading::Table(None),
        None => Reading::Guarded,
    }
}

/// Returns the name of the input for the record. It is the file name without directories, so that a moved project keeps its record valid.
fn name_of(file: &Path) -> String {
    file.file_name().map_or_else(|| table::path(file), |name| table::path(Path::new(name)))
}

fn say(context: &Context, directory: &Path, report: &Report, has_only_draft: bool) -> Result<Exit, Failure> {
    let files: Vec<PathBuf> = report.files().map(|file| directory.join(file)).collect();
    context.output.paths(&files)?;
    context.output.document(report)?;
    for failure in report.failures() {
        context.output.warn(&failure);
    }
    if has_only_draft {
        context.output.note(
            "the pictures are drafts, because no provider of pictures is configured; add one with: reel providers add",
        );
    }
    for note in report.notes() {
        context.output.note(&note);
    }
    context.output.note(&report.summary());
    if let Some(hint) = report.held_hint() {
        context.output.warn(&hint);
    }
    Ok(if report.has_failures() { Exit::WorkFailed } else { Exit::Done })
}

fn read_input(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = if file == Path::new("-") {
        io::stdin().take(INPUT_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|opened| opened.take(INPUT_BYTES + 1).read_to_end(&mut bytes))
    };
    let no_input = |detail: String| {
        Failure::new(Exit::NoInput, "no_input", format!("cannot read {}: {detail}", table::path(file)))
    };
    let read = read.map_err(|error| no_input(error.to_string()))?;
    if read as u64 > INPUT_BYTES {
        return Err(Failure::new(
            Exit::BadData,
            "bad_data",
            format!("the input has more than {}", units::bytes(INPUT_BYTES)),
        ));
    }
    Ok(bytes)
}

/// A line's result, with the index of its item.
type Placed = (usize, LineResult);

/// Decides for each item what to do. Returns the results to make, and the outcome of lines that need nothing or may not be written.
fn sort_out(
    args: &Args,
    items: &[Item],
    record: &Record,
    directory: &mut Directory<'_>,
) -> Result<(Vec<ItemToMake>, Vec<Placed>), Failure> {
    let mut wanted = Vec::new();
    let mut results = Vec::new();
    for (item_index, item) in items.iter().enumerate() {
        match directory.step(item, record, args.force, args.fresh)? {
            Step::Keep(file) => {
                let digest = directory.digest(&file)?;
                results.push((item_index, LineResult::kept(item, file, digest)));
            }
            Step::Make => wanted.push(ItemToMake { item_index, existing: Existing::Keep, former: None }),
            Step::Replace(former) => {
                // Only --force replaces files that no batch wrote. Such a path may be a directory, which cannot be replaced.
                let path = args.output.join(item.expected_file());
                let checked =
                    if args.force { creatable::check_file(&path, Existing::Replace) } else { Ok(()) };
                match checked {
                    Ok(()) => wanted.push(ItemToMake { item_index, existing: Existing::Replace, former }),
                    Err(failure) => results.push((item_index, LineResult::failed(item, None, failure))),
                }
            }
            Step::Refuse(file) => {
                let shown = table::path(&args.output.join(file));
                let message = format!("{shown} exists, and no batch wrote it or it was changed since");
                let failure =
                    Failure::new(Exit::CannotCreate, "output_exists", message).hint("--force replaces it");
                results.push((item_index, LineResult::failed(item, None, failure)));
            }
        }
    }
    Ok((wanted, results))
}
