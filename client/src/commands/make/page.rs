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
    /// The title of the film or of a chapter, which is shown before the voice starts; empty if there is none.
    pub opening: String,
    /// The text that is shown after the voice has ended; empty if there is none.
    pub end_card: String,
    /// How long a title is shown, in seconds.
    pub title_s: f64,
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
    /// Who speaks; empty for the narrator.
    #[serde(skip)]
    pub speaker: String,
    /// How its parts were made, or why they are missing.
    #[serde(skip)]
    pub notes: Vec<PageNote>,
}

/// A line about a part of a shot.
#[derive(Debug, Clone)]
pub struct PageNote {
    /// The words of the line.
    pub text: String,
    /// Whether it says that something is missing.
    pub is_trouble: bool,
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
         text-shadow:0 0 4px #000,0 0 4px #000;white-space:pre-line}}#frame>#title{{inset:auto 5% auto 5%;top:40%;font-size:2.2rem;font-weight:600}}audio{{width:100%;margin-top:1rem}}</style>\
         <main><h1>{}</h1><div id=\"frame\"><img id=\"picture\" alt=\"\"><video id=\"clip\" muted playsinline hidden></video>\
         <p id=\"title\" dir=\"auto\"></p><p id=\"text\" dir=\"auto\"></p></div><audio id=\"sound\" controls src=\"narration.wav\"></audio></main>\
         <script>\nconst shots = {};\n{PLAYER}</script>\n",
        escaped(title),
        script(&shots),
    );
    page
}

const PLAYER: &str = "const at = id => document.getElementById(id);
const [sound, picture, clip, title, text] = ['sound', 'picture', 'clip', 'title', 'text'].map(at);
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
  const isOpening = now >= shot.speech_start_s - shot.title_s && now < shot.speech_start_s;
  const isEnd = now >= shot.start_s + shot.duration_s - shot.title_s;
  const titled = isOpening ? shot.opening : isEnd ? shot.end_card : '';
  if (title.textContent !== titled) title.textContent = titled;
  const isSpoken = now >= shot.speech_start_s && now < shot.speech_start_s + shot.speech_s;
  const words = isSpoken ? shot.text : '';
  if (text.textContent !== words) text.textContent = words;
  requestAnimationFrame(show);
}
show();
";

/// A character or place on a page.
#[derive(Debug, Clone)]
pub struct PageCast {
    /// The name of the character or place.
    pub name: String,
    /// The appearance, as words of a prompt.
    pub look: String,
    /// The name of the file of its sheet.
    pub picture: Option<String>,
}

/// What a contact sheet shows beside the shots.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// The name of the film.
    pub title: String,
    /// What a person can do next.
    pub next_step: String,
    /// Facts about the whole film, such as its length and cost.
    pub facts: Vec<String>,
    /// The characters and places.
    pub cast: Vec<PageCast>,
}

const SHEET_STYLE: &str = "body{background:#fafafa;color:#1a1a1a}code{color:#06c}small{color:#555}.bad{color:#b00020;font-weight:600}\
    ol,dl{padding:0;margin:0}ol{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(20rem,100%),1fr));gap:1rem;list-style:none}\
    li{background:#fff;border:1px solid #ddd;border-radius:8px;overflow:hidden;display:flex;flex-direction:column}\
    li>div{padding:.5rem .75rem .75rem}img,video{width:100%;display:block;background:#8883}audio{width:100%;margin-top:.5rem}\
    .sheet{max-width:10rem;border-radius:6px;margin-top:.25rem}.none{aspect-ratio:16/9;display:grid;place-items:center;background:#8882;color:#777}p{white-space:pre-line;margin:.5rem 0}\
    details summary{cursor:pointer;color:#555;font-size:.85rem}dt{font-weight:600}dd{margin:0 0 .5rem}header{margin-bottom:1rem}\
    @media(prefers-color-scheme:dark){body{background:#111;color:#eee}li{background:#1c1c1c;border-color:#333}code{color:#9cf}\
    small,details summary{color:#aaa}.bad{color:#ff8a80}}";

/// Returns a page with the picture, text, prompt, voice, state and cost of each shot. It needs no network and no script.
pub fn contact_sheet(sheet: &Sheet, shots: &[PageShot]) -> String {
    let mut page = head(&sheet.title);
    let _ = write!(page, "<style>{SHEET_STYLE}</style><main><header><h1>{}</h1>", escaped(&sheet.title));
    if !sheet.facts.is_empty() {
        let _ = write!(page, "<small>{}</small>", escaped(&sheet.facts.join(" · ")));
    }
    let _ = write!(page, "<p>{}</p>", escaped(&sheet.next_step));
    if !sheet.cast.is_empty() {
        page.push_str("<details open><summary>characters and places</summary><dl>");
        for PageCast { name, look, picture } in &sheet.cast {
            let _ = write!(page, "<dt>{}</dt><dd dir=\"auto\">{}", escaped(name), escaped(look));
            if let Some(picture) = picture {
                let _ = write!(
                    page,
                    "<img class=\"sheet\" loading=\"lazy\" alt=\"\" src=\"{}\">",
                    escaped(picture)
                );
            }
            page.push_str("</dd>");
        }
        page.push_str("</dl></details>");
    }
    page.push_str("</header><ol>");
    for shot in shots {
        page_shot(&mut page, shot);
    }
    page.push_str("</ol></main>\n");
    page
}

fn page_shot(page: &mut String, shot: &PageShot) {
    page.push_str("<li>");
    if let Some(clip) = &shot.clip {
        let _ = write!(page, "<video controls preload=\"metadata\" src=\"{}\"></video>", escaped(clip));
    } else if let Some(picture) = &shot.picture {
        let _ = write!(page, "<img loading=\"lazy\" alt=\"\" src=\"{}\">", escaped(picture));
    } else {
        page.push_str("<span class=\"none\">no picture yet</span>");
    }
    let (minutes, seconds) = (shot.start_s as u64 / 60, shot.start_s as u64 % 60);
    let _ = write!(
        page,
        "<div><code>{}</code> <small>at {minutes}:{seconds:02}, {:.1} s{}</small>",
        escaped(&shot.id),
        shot.duration_s,
        if shot.speaker.is_empty() { String::new() } else { format!(", {} speaks", escaped(&shot.speaker)) },
    );
    if let Some(voice) = &shot.voice {
        let _ = write!(page, "<audio controls preload=\"none\" src=\"{}\"></audio>", escaped(voice));
    }
    let text = if shot.text.is_empty() { "(silent)" } else { &shot.text };
    let _ = write!(page, "<p dir=\"auto\">{}</p>", escaped(text));
    for note in &shot.notes {
        let class = if note.is_trouble { " class=\"bad\"" } else { "" };
        let _ = write!(page, "<small{class}>{}</small><br>", escaped(&note.text));
    }
    if shot.prompt.trim() != shot.text.trim() && !shot.prompt.is_empty() {
        let _ = write!(
            page,
            "<details><summary>prompt</summary><small dir=\"auto\">{}</small></details>",
            escaped(&shot.prompt)
        );
    }
    page.push_str("</div></li>");
}

fn head(title: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
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
            speaker: evil.to_owned(),
            notes: vec![PageNote { text: evil.to_owned(), is_trouble: true }],
            ..PageShot::default()
        };
        let cast =
            vec![PageCast { name: evil.to_owned(), look: evil.to_owned(), picture: Some(evil.to_owned()) }];
        let sheet =
            Sheet { title: evil.to_owned(), next_step: evil.to_owned(), facts: vec![evil.to_owned()], cast };
        for page in [player(evil, (16, 9), std::slice::from_ref(&shot)), contact_sheet(&sheet, &[shot])] {
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
