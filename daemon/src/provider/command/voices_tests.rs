//! Lists of voices as the programs print them, and the choice of a voice.

use super::*;

const ESPEAK: &str = "\
Pty Language       Age/Gender VoiceName          File                 Other Languages
 5  cmn             --/M      Chinese_(Mandarin,_latin_as_English) sit/cmn              (zh-cmn 5)(zh 5)
 5  cmn-latn-pinyin --/M      Chinese_(Mandarin,_latin_as_Pinyin) sit/cmn-Latn-pinyin  (zh-cmn 5)(zh 5)
 5  de              --/M      German             gmw/de
 5  en-029          --/M      English_(Caribbean) gmw/en-029           (en 10)
 2  en-gb           --/M      English_(Great_Britain) gmw/en               (en 2)
 2  en-us           --/F      English_(America)  gmw/en-US            (en 3)
 5  yue             --/M      Chinese_(Cantonese) sit/yue              (zh-yue 5)(zh 8)
 5  yue             --/M      Chinese_(Cantonese,_latin_as_Jyutping) sit/yue-Latn-jyutping (zh-yue 5)(zh 8)
";

const EDGE: &str = "\
Name                               Gender    ContentCategories      VoicePersonalities
---------------------------------  --------  ---------------------  --------------------------------------
de-DE-KatjaNeural                  Female    General                Friendly, Positive
en-US-EmmaMultilingualNeural       Female    Conversation           Cheerful, Clear
zh-CN-liaoning-XiaobeiNeural       Female    Dialect                Humorous
zh-CN-XiaoxiaoNeural               Female    News, Novel            Warm
";

#[test]
fn the_list_of_espeak_ng_is_read() {
    let voices = VoiceFormat::EspeakNg.parse(ESPEAK);
    let ids: Vec<_> = voices.iter().map(|voice| voice.id.as_str()).collect();
    assert_eq!(
        ids,
        ["cmn", "cmn-latn-pinyin", "de", "en-029", "en-gb", "en-us", "yue", "sit/yue-Latn-jyutping"]
    );
    let voice = &voices[5];
    assert_eq!(
        (voice.name.as_str(), voice.gender, voice.language.as_str()),
        ("English (America)", Some("female"), "en-us")
    );
    assert_eq!(voices[0].ranks, [("cmn".to_owned(), 5), ("zh-cmn".to_owned(), 5), ("zh".to_owned(), 5)]);
}

#[test]
fn the_list_of_edge_tts_is_read() {
    let voices = VoiceFormat::EdgeTts.parse(EDGE);
    let languages: Vec<_> = voices.iter().map(|voice| voice.language.as_str()).collect();
    assert_eq!(languages, ["de-de", "en-us", "zh-cn-liaoning", "zh-cn"]);
    assert_eq!((voices[3].id.as_str(), voices[3].name.as_str()), ("zh-CN-XiaoxiaoNeural", "Xiaoxiao"));
    assert_eq!(for_language(&voices, &BTreeMap::new(), "zh-CN"), Ok("zh-CN-XiaoxiaoNeural".to_owned()));
    assert_eq!(for_language(&voices, &BTreeMap::new(), "de"), Ok("de-DE-KatjaNeural".to_owned()));
}

#[test]
fn garbage_is_no_voice() {
    for list in [
        "",
        "\n\n",
        "not a list",
        " 5  de",
        "5 de --/M\n",
        "x de --/M German gmw/de",
        "Traceback (most recent call last):",
    ] {
        assert!(VoiceFormat::EspeakNg.parse(list).is_empty(), "{list}");
        assert!(VoiceFormat::EdgeTts.parse(list).is_empty(), "{list}");
    }
    assert_eq!(VoiceFormat::named("csv"), None);
}

#[test]
fn a_language_finds_the_best_voice_for_it() {
    let voices = VoiceFormat::EspeakNg.parse(ESPEAK);
    let preferred = BTreeMap::from([("zh".to_owned(), "cmn-latn-pinyin".to_owned())]);
    for (language, expected) in [
        ("de", Some("de")),
        ("de-AT", Some("de")),
        ("en", Some("en-gb")),
        ("EN_us", Some("en-us")),
        ("en-CA", Some("en-gb")),
        ("zh", Some("cmn-latn-pinyin")),
        ("zh-Hans-CN", Some("cmn-latn-pinyin")),
        ("zh-yue", Some("yue")),
        ("yue", Some("yue")),
        ("tlh", None),
        ("", None),
    ] {
        let found = for_language(&voices, &preferred, language);
        assert_eq!(
            found,
            expected.map(str::to_owned).ok_or_else(|| NoVoice::Language(language.to_owned())),
            "{language}"
        );
    }
}

#[test]
fn a_voice_is_found_by_any_of_its_names_and_a_slip_names_the_nearest() {
    let voices = VoiceFormat::EspeakNg.parse(ESPEAK);
    for (name, expected) in [
        ("EN-US", "en-us"),
        ("en-us+f3", "en-us+f3"),
        ("German", "de"),
        ("gmw/de", "de"),
        ("sit/yue-Latn-jyutping", "sit/yue-Latn-jyutping"),
    ] {
        assert_eq!(named(&voices, name).as_deref(), Ok(expected), "{name}");
    }
    let error = named(&voices, "germen").unwrap_err();
    assert_eq!(error.to_string(), "there is no voice germen; did you mean German?");
    assert_eq!(named(&voices, "zzzzzz").unwrap_err().to_string(), "there is no voice zzzzzz");
}
