//! `reel make --dry-run`: prints what a story would take and cost. Only the daemon is asked. No task is submitted, and nothing is written.

use std::collections::BTreeMap;

use reel_client::{DRAFT, Session};
use reel_protocol::{
    CacheMode, Digest, ImageParams, JsonText, SpeechParams, StoryPart, TaskSpec, VideoParams,
    methods::DryRunResult,
};
use reel_story::project::{MAX_REFERENCES, Project, SHEET_SIDE, Shot, Subject};
use serde::Serialize;

use super::{
    Args,
    args::Stage,
    deliver::sheet_stem,
    downgrades::say_downgrades,
    outline::Outline,
    pack::existing,
    prices::Prices,
    stale::has_known_frames,
    state::{State, digest_of},
    story_paths::StoryPaths,
    storyboard::Storyboard,
    submit,
};
use crate::{context::Context, dry_run, exit::Exit, failure::Failure, naming};

#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    outline: &'a Outline<'a>,
    /// None if no daemon runs.
    prices: Option<&'a Prices>,
}

/// What determines how steps are requested. It follows the same rules as the daemon.
struct Setting<'a> {
    args: &'a Args,
    project: &'a Project,
    language: Option<String>,
    has_draft_voices: bool,
    has_draft_pictures: bool,
    has_known_style: bool,
    /// The most reference pictures of a picture.
    max_references: usize,
    /// The sheets that the user supplies, or that earlier runs have copied, by the names of their steps.
    sheets: BTreeMap<String, Digest>,
}

/// Prints the shots and what they would take.
pub async fn run(
    context: &Context,
    args: &Args,
    paths: &StoryPaths,
    (storyboard, state, outline): (&Storyboard, &State, &Outline<'_>),
    known: Prices,
) -> Result<Exit, Failure> {
    let output = context.output;
    let prices = match context.session().await {
        Ok(session) => {
            submit::params(args, &storyboard.project, args.until).and_then(|params| submit::fits(&params))?;
            say_downgrades(output, &session, &storyboard.project, args.until).await?;
            Some(prices(&session, args, paths, (storyboard, state, outline), known).await?)
        }
        // The outline needs no daemon, so it is printed without prices.
        Err(failure) if failure.error.code == "no_daemon" => None,
        Err(failure) => return Err(failure),
    };
    output.document(&Document { outline, prices: prices.as_ref() })?;
    outline.show(output, &storyboard.project)?;
    match &prices {
        Some(prices) => prices.lines().iter().for_each(|line| output.note(line)),
        None => output.note("no daemon runs, so nobody can tell prices, and what the cache has"),
    }
    output.note("this was a dry run: nothing was made or written");
    if storyboard.is_new() {
        output.note("--until storyboard writes the shots to a file that you can change");
    }
    Ok(Exit::Done)
}

async fn prices(
    session: &Session,
    args: &Args,
    paths: &StoryPaths,
    (storyboard, state, outline): (&Storyboard, &State, &Outline<'_>),
    mut prices: Prices,
) -> Result<Prices, Failure> {
    let project = &storyboard.project;
    let setting = Setting::find(session, args, storyboard, paths).await?;
    let until = args.until;
    if until != Some(Stage::Voices) && setting.max_references > 0 {
        for subject in project.made_sheets(&setting.selected()) {
            match dry_run::ask(session, &setting.sheet(subject)?).await {
                Ok(result) => prices.sheets.add(&result),
                Err(failure) => {
                    prices.refused.push(format!("the sheet of {}: {}", subject.id(), failure.error.message));
                }
            }
        }
    }
    let is_selected = |shot: &&Shot| args.only.is_empty() || args.only.contains(&shot.id);
    // The digests of pictures that an earlier run made and that are not made again.
    let mut pictures = BTreeMap::new();
    for shot in project.shots.iter().filter(is_selected) {
        if shot.voice_file.is_empty() && shot.is_spoken() {
            prices.add(session, shot, "voice", &setting.voice(shot)?).await?;
        }
        if until == Some(Stage::Voices) || !shot.clip_file.is_empty() {
            continue;
        }
        let record = state.shots.get(&shot.id).and_then(|record| record.picture.as_ref()?.digest);
        let digest = if shot.picture_file.is_empty() {
            let is_cached = prices.add(session, shot, "picture", &setting.picture(shot)?).await?;
            record.filter(|_| is_cached)
        } else {
            digest_of(&paths.directory().join(&shot.picture_file))
        };
        pictures.extend(digest.map(|digest| (shot.id.as_str(), digest)));
    }
    for (index, (shot, duration_s)) in project.shots.iter().zip(outline.clip_seconds()).enumerate() {
        let has_clip = shot.clip && shot.clip_file.is_empty();
        let mut has_same_visual = has_same_visual(shot, &pictures, state, paths);
        if has_clip && is_selected(&shot) && (until.is_none() || until == Some(Stage::Clips)) {
            let spec = setting.clip(index, *duration_s, &pictures)?;
            has_same_visual &= prices.add(session, shot, "clip", &spec).await?;
        }
        if until.is_none() && args.only.is_empty() {
            let record = state.shots.get(&shot.id);
            let is_known = |record| has_known_frames(project, shot, record, has_same_visual);
            prices.rendered += usize::from(!record.is_some_and(is_known));
        }
    }
    Ok(prices)
}

/// Whether the picture or own clip of a shot is the one that an earlier run rendered.
fn has_same_visual(
    shot: &Shot,
    pictures: &BTreeMap<&str, Digest>,
    state: &State,
    paths: &StoryPaths,
) -> bool {
    let Some(record) = state.shots.get(&shot.id) else { return false };
    if shot.clip_file.is_empty() {
        let former = record.picture.as_ref().and_then(|picture| picture.digest);
        return former.is_some() && former.as_ref() == pictures.get(shot.id.as_str());
    }
    let former = record.clip.as_ref().and_then(|clip| clip.digest);
    former.is_some() && former == digest_of(&paths.directory().join(&shot.clip_file))
}

impl<'a> Setting<'a> {
    async fn find(
        session: &Session,
        args: &'a Args,
        storyboard: &'a Storyboard,
        paths: &StoryPaths,
    ) -> Result<Self, Failure> {
        let project = &storyboard.project;
        let picture = ImageParams { width: 512, height: 512, ..ImageParams::new("a picture") };
        let styled = ImageParams { style: Some(project.video.style.clone()), ..picture.clone() };
        let has_style = !project.video.style.is_empty();
        let plain = trial(session, "image.generate", &picture).await?;
        let max_references = match &plain {
            Some(plain) if project.video.sheets && !is_draft(Some(plain)) => {
                max_references(session, &picture, plain).await?
            }
            _ => 0,
        };
        let narrations: Vec<&str> = project.shots.iter().map(Shot::narration).collect();
        let told = storyboard.language().map(str::to_owned);
        Ok(Self {
            args,
            project,
            language: told.or_else(|| reel_story::language(&narrations.join("\n")).map(str::to_owned)),
            has_draft_voices: is_draft(
                trial(session, "voice.speak", &SpeechParams::new("a voice")).await?.as_ref(),
            ),
            has_draft_pictures: is_draft(plain.as_ref()),
            max_references,
            sheets: project
                .all_subjects()
                .filter_map(|one| Some((one.step(), sheet_digest(one, paths)?)))
                .collect(),
            has_known_style: has_style && trial(session, "image.generate", &styled).await?.is_some(),
        })
    }

    fn cache(&self, shot: &Shot, part: StoryPart) -> CacheMode {
        let is_redone = self.args.redo.iter().any(|redo| redo.id == shot.id && redo.stage == part);
        if is_redone { CacheMode::Fresh } else { CacheMode::Use }
    }

    fn voice(&self, shot: &Shot) -> Result<TaskSpec, Failure> {
        let params = SpeechParams {
            voice: self.project.voice_name(shot).filter(|_| !self.has_draft_voices).map(str::to_owned),
            language: self.language.clone(),
            ..SpeechParams::new(shot.narration())
        };
        let provider = self.has_draft_voices.then(|| DRAFT.to_owned());
        Ok(TaskSpec { provider, cache: self.cache(shot, StoryPart::Voice), ..spec("voice.speak", &params)? })
    }

    fn picture(&self, shot: &Shot) -> Result<TaskSpec, Failure> {
        let (width, height) = self.project.picture_size(self.has_draft_pictures);
        let (prompt, input_images) = self.prompt_and_inputs(shot);
        let params = ImageParams {
            width,
            height,
            sample: sample(shot),
            style: self.has_known_style.then(|| self.project.video.style.clone()),
            extra: Project::picture_extra(self.has_draft_pictures)
                .and_then(|extra| JsonText::parse(extra.to_owned()).ok()),
            input_images,
            ..ImageParams::new(prompt)
        };
        Ok(TaskSpec { cache: self.cache(shot, StoryPart::Picture), ..spec("image.generate", &params)? })
    }

    /// Returns the prompt of a picture, and its reference pictures. A sheet that is not made yet is stood for by a digest that no artifact has.
    fn prompt_and_inputs(&self, shot: &Shot) -> (String, Vec<Digest>) {
        let prompt = self.project.picture_prompt(shot, !self.has_known_style);
        let made: Vec<String> =
            self.project.made_sheets(&self.selected()).into_iter().map(Subject::step).collect();
        let has_sheet = |one: &Subject<'_>| !one.sheet().is_empty() || made.contains(&one.step());
        let subjects = self.project.subjects(shot).into_iter().filter(has_sheet);
        let subjects: Vec<Subject<'_>> = subjects.take(self.max_references).collect();
        if subjects.is_empty() {
            return (prompt, Vec::new());
        }
        let digest =
            |one: &Subject<'_>| self.sheets.get(&one.step()).copied().unwrap_or(Digest::from_bytes([0; 32]));
        (Project::prompt_with_sheets(&prompt, &subjects), subjects.iter().map(digest).collect())
    }

    fn selected(&self) -> Vec<&'a Shot> {
        let is_selected = |shot: &&Shot| self.args.only.is_empty() || self.args.only.contains(&shot.id);
        self.project.shots.iter().filter(is_selected).collect()
    }

    fn sheet(&self, subject: Subject<'_>) -> Result<TaskSpec, Failure> {
        let params = ImageParams {
            width: SHEET_SIDE,
            height: SHEET_SIDE,
            style: self.has_known_style.then(|| self.project.video.style.clone()),
            ..ImageParams::new(self.project.sheet_prompt(subject, !self.has_known_style))
        };
        spec("image.generate", &params)
    }

    /// Returns the request for a clip. If its pictures are not made yet, others stand for them, and the cache is not asked.
    fn clip(
        &self,
        index: usize,
        duration_s: f64,
        pictures: &BTreeMap<&str, Digest>,
    ) -> Result<TaskSpec, Failure> {
        let Some(shot) = self.project.shots.get(index) else { return Ok(TaskSpec::default()) };
        let digest = |shot: &Shot| pictures.get(shot.id.as_str()).copied();
        let last = self.project.last_picture(index);
        let is_known = digest(shot).is_some() && last.is_none_or(|last| digest(last).is_some());
        let unknown = Digest::from_bytes([0; 32]);
        let prompt = self.project.picture_prompt(shot, !self.has_known_style);
        let motion = if shot.motion.trim().is_empty() { prompt } else { shot.motion.clone() };
        let params = VideoParams {
            image: Some(digest(shot).unwrap_or(unknown)),
            last_image: last.map(|last| digest(last).unwrap_or(unknown)),
            duration_s: Some(duration_s.ceil()),
            sample: sample(shot),
            ..VideoParams::new(motion)
        };
        let cache = if is_known { self.cache(shot, StoryPart::Clip) } else { CacheMode::Off };
        Ok(TaskSpec { cache, ..spec("video.generate", &params)? })
    }
}

fn sample(shot: &Shot) -> u32 {
    u32::try_from(shot.sample).unwrap_or(u32::MAX)
}

fn spec<P: Serialize>(kind: &str, params: &P) -> Result<TaskSpec, Failure> {
    let params = JsonText::from_value(params)
        .map_err(|error| Failure::new(Exit::Internal, "internal", error.to_string()))?;
    Ok(TaskSpec { kind: kind.to_owned(), params, ..TaskSpec::default() })
}

/// Asks the daemon which provider would carry out a request; None if none can.
async fn trial<P: Serialize>(
    session: &Session,
    kind: &str,
    params: &P,
) -> Result<Option<DryRunResult>, Failure> {
    match dry_run::ask(session, &spec(kind, params)?).await {
        Ok(result) => Ok(Some(result)),
        Err(failure) if failure.exit == Exit::BadData || failure.exit == Exit::Config => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Returns the most reference pictures that the provider of pictures takes, as the daemon finds it out.
async fn max_references(
    session: &Session,
    picture: &ImageParams,
    plain: &DryRunResult,
) -> Result<usize, Failure> {
    for count in (1..=MAX_REFERENCES).rev() {
        let input_images = vec![Digest::from_bytes([0; 32]); count];
        let found =
            trial(session, "image.generate", &ImageParams { input_images, ..picture.clone() }).await?;
        if found.is_some_and(|found| found.provider == plain.provider) {
            return Ok(count);
        }
    }
    Ok(0)
}

/// Returns the digest of a sheet: the user's own file, or the copy of an earlier run.
fn sheet_digest(subject: Subject<'_>, paths: &StoryPaths) -> Option<Digest> {
    if !subject.sheet().is_empty() {
        return digest_of(&paths.directory().join(subject.sheet()));
    }
    let name = existing(&paths.copies, &sheet_stem(&subject.step()), naming::picture_endings())?;
    digest_of(&paths.copies.join(name))
}

fn is_draft(result: Option<&DryRunResult>) -> bool {
    result.is_none_or(|result| result.provider.as_deref() == Some(DRAFT))
}
