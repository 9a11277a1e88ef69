//! Tests of the scanner: it finds the pictures in bodies of any shape, and its tree and its time stay bounded.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::prelude::*;

use super::*;

/// A sink that collects the texts of complete pictures.
#[derive(Debug, Default)]
struct Pictures {
    current: Vec<u8>,
    whole: Vec<String>,
}

impl PictureSink for Pictures {
    fn begin(&mut self) {
        self.current.clear();
    }

    fn piece(&mut self, text: &[u8]) {
        self.current.extend_from_slice(text);
    }

    fn end(&mut self) -> Option<usize> {
        self.whole.push(String::from_utf8_lossy(&std::mem::take(&mut self.current)).into_owned());
        Some(self.whole.len() - 1)
    }
}

/// A sink that keeps no picture.
struct Nobody;

impl PictureSink for Nobody {
    fn begin(&mut self) {}

    fn piece(&mut self, _: &[u8]) {}

    fn end(&mut self) -> Option<usize> {
        None
    }
}

fn scan(pieces: &[&[u8]]) -> (Vec<Node>, Vec<String>) {
    let (mut scanner, mut pictures) = (Scanner::new("b64_json"), Pictures::default());
    for piece in pieces {
        scanner.push(piece, &mut pictures);
    }
    let roots = scanner.finish(true, &mut pictures);
    (roots, pictures.whole)
}

/// Writes a tree in a short form, in which `P0` is the first picture.
fn shown(node: &Node) -> String {
    match node {
        Node::Null => "null".to_owned(),
        Node::Flag(flag) => flag.to_string(),
        Node::Number(number) => number.to_string(),
        Node::Text(text) => format!("{text:?}"),
        Node::Picture(number) => format!("P{number}"),
        Node::List(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(",")),
        Node::Map(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{name}:{}", shown(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
    }
}

/// The text of a picture that is recognised by its first bytes.
fn png() -> String {
    STANDARD.encode([&b"\x89PNG\r\n\x1a\n"[..], &[7; 100]].concat())
}

#[test]
fn any_shape_is_read_and_its_pictures_are_numbers() {
    let png = png();
    let data_url = format!("data:image/png;base64,{png}");
    for (body, tree, pictures) in [
        (r#"{"data":[{"b64_json":"AAAA"}]}"#, r"{data:[{b64_json:P0}]}", vec!["AAAA"]),
        (r#"{"b64_json":"a\/b\u002Bc\nd"}"#, r"{b64_json:P0}", vec!["a/b+c\nd"]),
        (r#"{"b64_json":"","url":"http://x"}"#, r#"{b64_json:"",url:"http://x"}"#, vec![]),
        (r#"{"b64_json":"https://x/1.png"}"#, r#"{b64_json:"https://x/1.png"}"#, vec![]),
        (r#"{"x":"DATA","image":"PNG"}"#, r"{x:P0,image:P1}", vec![&data_url, &png]),
        (r#"["PNG", "no picture"]"#, r#"[P0,"no picture"]"#, vec![&png]),
        (
            r#"{"a":NaN,"b":-Infinity,"c":1.5e3,"d":None,"e":True}"#,
            "{a:null,b:null,c:1500,d:null,e:true}",
            vec![],
        ),
        (
            r#"{"a":"\ud83d\uddfc \ud83d\u00e9 \u00zz \ud83d","b":1}"#,
            "{a:\"🗼 é \u{fffd}zz \u{fffd}\",b:1}",
            vec![],
        ),
        (r#"{"a":"\u00e","b":"\ud83d\u12"}"#, "{a:\"\u{fffd}\",b:\"\u{fffd}\u{fffd}\"}", vec![]),
        (r#"{"a":1,"a":2,}"#, "{a:1,a:2}", vec![]),
        (r"{data: [1], 'b': 'it'}", r#"{data:[1],b:"it"}"#, vec![]),
        ("it's 5\" wide: {\"a\":1}\ndata: [DONE]", "{a:1}", vec![]),
        ("{\"a\":[1,{\"b\":\"cut", "{a:[1,{b:null}]}", vec![]),
        ("}]} {\"a\":1", "{a:1}", vec![]),
        ("PNG", "P0", vec![&png]),
        ("\"DATA\"", "P0", vec![&png]),
    ] {
        let body = body.replace("PNG", &png).replace("DATA", &data_url);
        let (roots, found) = scan(&[body.as_bytes()]);
        let found_tree = roots.iter().filter(|root| **root != Node::List(vec![Node::Null]));
        let found_tree: Vec<_> = found_tree.map(shown).collect();
        assert_eq!(
            (found_tree.join(" "), found),
            (tree.to_owned(), pictures.iter().map(|p| (*p).to_owned()).collect()),
            "{body}"
        );
    }
}

#[test]
fn a_picture_is_found_behind_whatever_is_too_much_to_keep() {
    let png = png();
    for flood in ["[", "{\"a\":", "[1,", "\"text\",", "{}", "}", "\"\\u00e9\",", "x", "[\"", "\\"] {
        let flood = flood.repeat(3_000_000 / flood.len());
        // If the flood leaves a quote open, the first quote after the flood closes it.
        for open in ["{\"data\":[", "{\"created\":1,\"data\":[[{\"a\":"] {
            let body = format!("{open}{flood} ,\"\",{{\"image\":\"{png}\"}}");
            let (_, found) = scan(&[body.as_bytes()]);
            assert_eq!(found.len(), 1, "{:?}", &body[..40]);
        }
    }
}

#[test]
fn a_field_of_a_picture_is_known_in_an_object_that_was_open_before_too_much_came() {
    let (png, numbers) = (png(), "7,".repeat(MAX_NODES + 900));
    for flood in [
        format!("\"info\":[{numbers}7]"),
        format!("\"info\":{{\"a\":[{numbers}7]}}"),
        "\"a\":7,".repeat(MAX_NODES + 900) + "\"a\":7",
        "\"a\":{},".repeat(MAX_NODES + 900) + "\"a\":{}",
        format!("\"info\":\"{}\"", "x".repeat(MAX_TEXT_BYTES - 4)),
        format!("\"info\":\"{}\"", "x".repeat(MAX_TEXT_BYTES + 4)),
        format!("\"{}\":7", "x".repeat(MAX_TEXT_BYTES + 4)),
    ] {
        for picture in [&png, "iVBORw0KGgo="] {
            let body = format!("{{\"data\":[{{{flood},\"b64_json\":\"{picture}\"}}]}}");
            let (_, found) = scan(&[body.as_bytes()]);
            assert_eq!(found, [picture.to_owned()], "{:?}", &body[..40]);
        }
    }
}

/// Counts the values of a tree.
fn count(node: &Node) -> usize {
    1 + node.inside().map(count).sum::<usize>()
}

#[test]
fn no_body_makes_the_tree_or_the_time_grow_without_end() {
    for (beginning, rest) in [("", "{\"name of a field\":\"and a text\",\"a\":[{}]},[["), ("{", "name,")] {
        let mut scanner = Scanner::new("b64_json");
        let mut pictures = Pictures::default();
        scanner.push(beginning.as_bytes(), &mut pictures);
        let piece = rest.repeat(20_000);
        for _ in 0..20 {
            scanner.push(piece.as_bytes(), &mut pictures);
        }
        let roots = scanner.finish(true, &mut pictures);
        assert!(roots.iter().map(count).sum::<usize>() <= MAX_NODES, "{rest}");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_where_a_body_is_cut_into_pieces(
        text in r#"([{}\[\]:, \\"'a-c/0-9]|"b64_json"|"b64_json": ?"|\\u[0-9a-f]{4}|\\ud83d\\uddfc|é|PNG){0,40}"#,
        cuts in prop::collection::vec(0_usize..400, 0..6),
    ) {
        let text = text.replace("PNG", &png());
        let mut pieces = vec![text.as_bytes()];
        for cut in cuts {
            let last = pieces.pop().unwrap();
            let mut cut = cut.min(last.len());
            // Cut between characters only.
            while cut > 0 && cut < last.len() && last[cut] & 0xc0 == 0x80 {
                cut -= 1;
            }
            let (left, right) = last.split_at(cut);
            pieces.extend([left, right]);
        }
        prop_assert_eq!(scan(&pieces), scan(&[text.as_bytes()]));
    }

    #[test]
    fn a_picture_is_found_whatever_is_beside_it_and_wherever_the_body_is_cut_behind_it(
        before in r"[a-z<>!:; .\n]{0,40}",
        fields in prop::collection::vec(r#""[a-z_]{1,8}" ?: ?(NaN|null|-?[0-9]{1,5}|"([a-zA-Z0-9é/ ]|\\"|\\n){0,90}"|\[\]|\{\}|\[1,\{"a":"b"\}\])"#, 0..5),
        more in prop::collection::vec(r#""[a-z_]{1,8}" ?: ?(Infinity|true|"[^"\\]{0,90}"|\[\[\]\])"#, 0..5),
        after in r"(?s).{0,60}",
        cut in any::<prop::sample::Index>(),
    ) {
        let before = before.replace(['{', '['], "");
        let fields: String = fields.iter().flat_map(|field| [field, ","]).collect();
        let more: String = more.iter().flat_map(|field| [",", field]).collect();
        let head = format!("{before}{{{fields}\"data\":[{{\"b64_json\":\"iVBORw0KGgo=\"");
        let tail = format!("{more}}}]}}{after}");
        let cut = cut.index(tail.len() + 1);
        let body = [head.as_bytes(), &tail.as_bytes()[..cut]].concat();
        let (roots, pictures) = scan(&[&body]);
        prop_assert!(pictures.first().is_some_and(|picture| picture == "iVBORw0KGgo="));
        let entry = roots.iter().find_map(|root| root.all("data").next()).and_then(|data| data.inside().next());
        prop_assert_eq!(entry.and_then(|entry| entry.all("b64_json").next()), Some(&Node::Picture(0)));
    }

    #[test]
    fn no_bytes_make_it_fail(body in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut scanner = Scanner::new("b64_json");
        scanner.push(&body, &mut Nobody);
        let _ = scanner.finish(true, &mut Nobody);
    }
}
