//! Writes HTML pages that show a story in a browser without a network: a player of pictures and narration, and a contact sheet. Pure.

use std::fmt::Write as _;

use serde::Serialize;

/// A shot on a page. Its files are in the directory of the page.
#[derive(Debug, Clone, Default, Serialize)]
pub struct PageShot {
    /// The shot's id.
    pub id: String,
    /// When the shot starts, in seconds.
    pub start_s: f64,
    /// How long the shot lasts, in seconds.
    pub duration_s: f64,
    /// When its voice starts, in seconds.
    pub speech_start_s: f64,
    /// How long its voice lasts, in seconds.
    pub speech_s: f64,
    /// The text that is spoken and subtitled.
    pub text: String,
    /// The prompt of the picture.
    pub prompt: String,
    /// The name of the picture file.
    pub picture: Option<String>,
    /// The name of the clip file.
    pub clip: Option<String>,
    /// The name of the voice file.
    pub voice: Option<String>,
}

const STYLE: &str = "body{margin:0;background:#111;color:#eee;font:16px/1.5 system-ui,sans-serif}\
    main{max-width:72rem;margin:0 auto;padding:1rem}h1{font-size:1.2rem}code{color:#9cf}";

/// Returns a page that shows the pictures and subtitles in time with the narration.
pub fn player(title: &str, aspect: (u32, u32), shots: &[PageShot]) -> String {
    let (width, height) = aspect;
    let mut page = head(title);
    let _ = write!(
        page,
        "<style>#frame{{position:relative;aspect-ratio:{width}/{height};max-height:80vh;margin:0 auto;background:#000}}\
         #frame>*{{position:absolute;inset:0;width:100%;height:100%;object-fit:contain}}\
         #frame>p{{inset:auto 5% 4% 5%;width:auto;height:auto;margin:0;text-align:center;font-size:1.3rem;\
         text-shadow:0 0 4px #000,0 0 4px #000;white-space:pre-line}}audio{{width:100%;margin-top:1rem}}</style>\
         <main><h1>{}</h1><div id=\"frame\"><img id=\"picture\" alt=\"\"><video id=\"clip\" muted playsinline hidden></video>\
         <p id=\"text\" dir=\"auto\"></p></div><audio id=\"sound\" controls src=\"narration.wav\"></audio></main>\
         <script>\nconst shots = {};\n{PLAYER}</script>\n",
        escaped(title),
        script(&shots),
    );
    page
}

const PLAYER: &str = "const at = id => document.getElementById(id);
const [sound, picture, clip, text] = ['sound', 'picture', 'clip', 'text'].map(at);
let shown = null;
function show() {
  const now = sound.currentTime;
  const shot = shots.findLast(shot => shot.start_s <= now) || shots[0];
  if (shot !== shown) {
    shown = shot;
    clip.hidden = !shot.clip;
    picture.hidden = !!shot.clip || !shot.picture;
    if (shot.clip) { clip.src = shot.clip; clip.play().catch(() => {}); } else if (shot.picture) { picture.src = shot.picture; }
  }
  const isSpoken = now >= shot.speech_start_s && now < shot.speech_start_s + shot.speech_s;
  const words = isSpoken ? shot.text : '';
  if (text.textContent !== words) text.textContent = words;
  requestAnimationFrame(show);
}
show();
";

/// Returns a page with the picture, text, prompt and voice of each shot, for a review before the film is made.
pub fn contact_sheet(title: &str, next_step: &str, shots: &[PageShot]) -> String {
    let mut page = head(title);
    let _ = write!(
        page,
        "<style>ol{{display:grid;grid-template-columns:repeat(auto-fill,minmax(18rem,1fr));gap:1rem;list-style:none;padding:0}}\
         li{{background:#1c1c1c;border-radius:6px;padding:.75rem}}img,video{{width:100%;border-radius:4px}}\
         audio{{width:100%}}small{{color:#aaa}}p{{white-space:pre-line;margin:.5rem 0}}</style>\
         <main><h1>{}</h1><p>{}</p><ol>",
        escaped(title),
        escaped(next_step),
    );
    for shot in shots {
        let minutes = shot.start_s as u64 / 60;
        let seconds = shot.start_s as u64 % 60;
        let _ = write!(
            page,
            "<li><code>{}</code> <small>at {minutes}:{seconds:02}, {:.1} s</small>",
            escaped(&shot.id),
            shot.duration_s
        );
        if let Some(clip) = &shot.clip {
            let _ = write!(page, "<video controls src=\"{}\"></video>", escaped(clip));
        } else if let Some(picture) = &shot.picture {
            let _ = write!(page, "<img loading=\"lazy\" alt=\"\" src=\"{}\">", escaped(picture));
        }
        if let Some(voice) = &shot.voice {
            let _ = write!(page, "<audio controls preload=\"none\" src=\"{}\"></audio>", escaped(voice));
        }
        let _ = write!(page, "<p dir=\"auto\">{}</p>", escaped(&shot.text));
        if shot.prompt.trim() != shot.text.trim() {
            let _ = write!(page, "<small dir=\"auto\">picture: {}</small>", escaped(&shot.prompt));
        }
        page.push_str("</li>");
    }
    page.push_str("</ol></main>\n");
    page
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style>\n",
        escaped(title)
    )
}

/// Escapes a text for HTML.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// Serializes a value as JSON for a script element. Each `<` is escaped, so the text cannot end the element.
fn script(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_from_the_story_is_an_instruction() {
        let evil = "</script><script>alert(1)</script>\" onload=\"x";
        let shot = PageShot {
            id: "a1".to_owned(),
            text: evil.to_owned(),
            prompt: format!("{evil} too"),
            picture: Some("a1.png".to_owned()),
            voice: Some("a1.wav".to_owned()),
            ..PageShot::default()
        };
        for page in [player(evil, (16, 9), std::slice::from_ref(&shot)), contact_sheet(evil, evil, &[shot])] {
            assert!(!page.contains("<script>alert"), "{page}");
            // Inside a script's string, quotes are escaped.
            assert!(!page.replace("\\\"", "").contains("\" onload"), "{page}");
            assert!(page.contains("a1.png"), "{page}");
        }
    }

    #[test]
    fn the_player_names_nothing_outside_its_directory() {
        let page = player("The Lamp", (1920, 1080), &[PageShot::default()]);
        assert!(!page.contains("http"), "{page}");
        assert!(page.contains("src=\"narration.wav\"") && page.contains("aspect-ratio:1920/1080"), "{page}");
    }
}
