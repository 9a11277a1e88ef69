//! The arguments of `ffmpeg` for frames and their encoding. Pure.

use std::path::Path;

use reel_protocol::FilmFormat;

/// Returns the first arguments of every run: `ffmpeg` asks no questions, prints only errors, and overwrites its output file.
pub(super) fn begin() -> Vec<String> {
    words("-nostdin -hide_banner -loglevel error -y")
}

/// Returns the ticks per second of a container. They are a multiple of the frame rate, so that the length of a frame is not rounded.
fn timescale(format: FilmFormat) -> u32 {
    format.fps * 1_000
}

/// Returns the arguments of the pipe of raw frames as an input.
pub(super) fn raw_input(format: FilmFormat, pipe: &str) -> Vec<String> {
    let FilmFormat { width, height, fps } = format;
    let mut arguments = words("-protocol_whitelist file,pipe -f rawvideo -pix_fmt yuv420p");
    arguments.extend(["-s".to_owned(), format!("{width}x{height}"), "-r".to_owned(), fps.to_string()]);
    arguments.extend(["-i".to_owned(), format!("file:{pipe}")]);
    arguments
}

/// Returns the arguments that encode exactly this number of frames without sound, after these filters.
pub(super) fn encode(format: FilmFormat, frames: u64, filters: &[String], output: &Path) -> Vec<String> {
    // Frames of all sources get the same pixel shape and colour properties: clips that differ in these cannot be joined.
    let form =
        "setsar=1,setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709".to_owned();
    let filters: Vec<_> = filters.iter().cloned().chain([form]).collect();
    let mut arguments = vec!["-vf".to_owned(), filters.join(",")];
    arguments
        .extend(words("-an -sn -dn -map_metadata -1 -c:v libx264 -preset veryfast -crf 20 -pix_fmt yuv420p"));
    // A key frame every two seconds lets players seek. The number of threads is fixed, as another one makes other frames.
    arguments.extend(["-g".to_owned(), (format.fps * 2).to_string(), "-threads".to_owned(), "2".to_owned()]);
    arguments.extend(words("-color_range tv -colorspace bt709 -color_primaries bt709 -color_trc bt709"));
    arguments.extend(words("-chroma_sample_location left"));
    arguments.extend(["-r".to_owned(), format.fps.to_string(), "-frames:v".to_owned(), frames.to_string()]);
    arguments.extend(container(format));
    arguments.extend(["-f".to_owned(), "mp4".to_owned(), file(output)]);
    arguments
}

/// Returns the arguments that set the ticks per second of the container.
pub(super) fn container(format: FilmFormat) -> Vec<String> {
    let ticks = timescale(format).to_string();
    ["-movie_timescale", &ticks, "-video_track_timescale", &ticks].map(str::to_owned).to_vec()
}

/// Returns a path as an argument. The prefix makes `ffmpeg` read it as a file even if it begins with a dash or looks like a protocol.
pub(super) fn file(path: &Path) -> String {
    format!("file:{}", path.display())
}

/// Splits a text into arguments at its spaces. So no argument can contain a space.
pub(super) fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

/// Returns the language of a subtitle track as MP4 names it (ISO 639-2) for a BCP 47 tag; `und` for one that is not listed here.
pub(super) fn track_language(tag: &str) -> &'static str {
    let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
    let known = [
        ("ar", "ara"),
        ("bn", "ben"),
        ("cs", "ces"),
        ("da", "dan"),
        ("de", "deu"),
        ("el", "ell"),
        ("en", "eng"),
        ("es", "spa"),
        ("fa", "fas"),
        ("fi", "fin"),
        ("fr", "fra"),
        ("he", "heb"),
        ("hi", "hin"),
        ("hu", "hun"),
        ("id", "ind"),
        ("it", "ita"),
        ("ja", "jpn"),
        ("ko", "kor"),
        ("nl", "nld"),
        ("no", "nor"),
        ("pl", "pol"),
        ("pt", "por"),
        ("ro", "ron"),
        ("ru", "rus"),
        ("sv", "swe"),
        ("th", "tha"),
        ("tr", "tur"),
        ("uk", "ukr"),
        ("vi", "vie"),
        ("zh", "zho"),
    ];
    known.iter().find(|(two, _)| *two == primary).map_or("und", |(_, three)| three)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_of_one_format_are_encoded_by_the_same_words() {
        let format = FilmFormat { width: 320, height: 180, fps: 25 };
        let output = Path::new("/runs/-1/out%d.mp4");
        let text = encode(format, 7, &["ass=subtitles.ass".to_owned()], output).join(" ");
        assert!(text.starts_with("-vf ass=subtitles.ass,setsar=1,setparams="), "{text}");
        assert!(
            text.ends_with(
                "-movie_timescale 25000 -video_track_timescale 25000 -f mp4 file:/runs/-1/out%d.mp4"
            ),
            "{text}"
        );
        assert!(text.contains("-r 25 -frames:v 7"), "{text}");
        assert!(raw_input(format, "frames").join(" ").ends_with("-s 320x180 -r 25 -i file:frames"));
    }

    #[test]
    fn languages_are_named_as_containers_do() {
        for (tag, expected) in
            [("en", "eng"), ("zh-Hant-TW", "zho"), ("PT-br", "por"), ("xx", "und"), ("", "und")]
        {
            assert_eq!(track_language(tag), expected, "{tag}");
        }
    }
}
