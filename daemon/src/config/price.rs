//! The key `price` of a provider, and the section `[rates]` by which other currencies are converted to US dollars.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};

use super::{
    Section,
    walk::{Walk, kind_of, shown, shown_number},
};
use crate::domain::{PicturePrice, Price, UnitPrice};

/// The currency that needs no rate.
const USD: &str = "USD";

/// The largest unit price, in US dollars. A larger one is taken for a mistake or another unit.
const MOST_DOLLARS: f64 = 100_000.0;

/// Describes valid values of `price` in messages.
const WANTED: &str = "a table of amounts for any of image, megapixel, second, character, call, input_mtok and output_mtok, such as \
                      { image = 0.04 } or { image = { \"1024x1024\" = 0.04, default = 0.06 } }, and a currency if it is not USD";

/// Describes valid keys of the prices of pictures in messages.
const WANTED_KEYS: &str = "amounts for pictures by size, quality or both, such as \
                           { image = { \"1024x1024\" = 0.04, \"1024x1024 high\" = 0.17, high = 0.2, default = 0.06 } }";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    image: Option<GivenPicture>,
    megapixel: Option<f64>,
    second: Option<f64>,
    character: Option<f64>,
    call: Option<f64>,
    input_mtok: Option<f64>,
    output_mtok: Option<f64>,
    currency: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum GivenPicture {
    One(f64),
    Table(BTreeMap<String, f64>),
}

/// Reads the price of a section and converts it to US dollars by these rates.
pub(super) fn price(section: &mut Section<'_>, rates: &BTreeMap<String, f64>) -> Option<Price> {
    let given: Given = section.shaped("price", WANTED)?;
    let currency = given.currency.as_deref().unwrap_or(USD);
    let rate = if currency == USD { Some(1.0) } else { rates.get(currency).copied() };
    let Some(rate) = rate else {
        section.complain(
            "price",
            "names a currency that [rates] does not have; write it there, such as CNY = 0.14",
        );
        return None;
    };
    if let Some(GivenPicture::Table(table)) = &given.image
        && (table.is_empty() || !table.keys().all(|key| is_picture_key(key)))
    {
        return section.wrong("price", WANTED_KEYS);
    }
    let Some(price) = converted(&given, rate) else {
        return section.wrong("price", "of amounts from 0 to 100000 US dollars");
    };
    if price == Price::default() {
        return section.wrong("price", WANTED);
    }
    Some(price)
}

/// Whether a key may apply to a picture: a size such as `1024x1024`, a quality such as `high` (or `default`), or both.
fn is_picture_key(key: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_size = |text: &str| {
        text.split_once('x').is_some_and(|(width, height)| is_number(width) && is_number(height))
    };
    let is_word = |text: &str| text.starts_with(|first: char| first.is_ascii_alphabetic());
    match key.split_once(' ') {
        Some((size, quality)) => is_size(size) && is_word(quality),
        None => is_size(key) || is_word(key),
    }
}

/// Converts all amounts to US dollars. None if one is negative, too large or not a number.
fn converted(given: &Given, rate: f64) -> Option<Price> {
    let unit = |amount: f64| {
        let dollars = amount * rate;
        (0.0..=MOST_DOLLARS).contains(&dollars).then(|| UnitPrice((dollars * 1e12).round() as u64))
    };
    let some = |amount: Option<f64>| match amount {
        Some(amount) => unit(amount).map(Some),
        None => Some(None),
    };
    let image = match &given.image {
        None => None,
        Some(GivenPicture::One(amount)) => Some(PicturePrice::One(unit(*amount)?)),
        Some(GivenPicture::Table(table)) => {
            let row = |(key, amount): (&String, &f64)| Some((key.clone(), unit(*amount)?));
            Some(PicturePrice::Table(table.iter().map(row).collect::<Option<_>>()?))
        }
    };
    Some(Price {
        image,
        megapixel: some(given.megapixel)?,
        second: some(given.second)?,
        character: some(given.character)?,
        call: some(given.call)?,
        input_mtok: some(given.input_mtok)?,
        output_mtok: some(given.output_mtok)?,
    })
}

impl Walk<'_> {
    /// Reads `[rates]`: the value of one unit of each currency, in US dollars.
    pub(super) fn rates(&mut self, section: &DeTable<'_>) {
        for (name, value) in section {
            let currency = name.get_ref();
            if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
                let message =
                    format!("{} is no currency; one has three letters, such as CNY", shown(currency));
                self.report(name.span().start, message);
                continue;
            }
            let text = match value.get_ref() {
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Integer(number) => number.as_str().to_owned(),
                other => kind_of(other).to_owned(),
            };
            match text.parse::<f64>() {
                Ok(rate) if rate.is_finite() && rate > 0.0 && rate < 1e6 => {
                    self.config.rates.insert(currency.to_string(), rate);
                }
                _ => {
                    let wanted = "must be the US dollars that one is worth, such as 0.14";
                    let message = format!("rates.{currency} {wanted}, not {}", shown_number(&text));
                    self.report(value.span().start, message);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, tests::Openai};
    use crate::domain::{PicturePrice, Price, Quantity, UnitPrice};

    fn parse(text: &str) -> Result<Option<Price>, String> {
        let text = text.replace("PRICE", "[providers.x]\nkind='openai'\nprice");
        let config = Config::parse(&text, &[&Openai]).map_err(|error| error.to_string())?;
        Ok(config.providers.first().and_then(|provider| provider.price.clone()))
    }

    #[test]
    fn prices_are_read_in_dollars_whatever_their_currency() {
        let image =
            |pico| Some(Price { image: Some(PicturePrice::One(UnitPrice(pico))), ..Price::default() });
        assert_eq!(parse("PRICE = { image = 0.04 }").unwrap(), image(40_000_000_000));
        assert_eq!(parse("PRICE = { image = 1 }").unwrap(), image(1_000_000_000_000));
        let text = "PRICE = { image = 0.5, currency = 'CNY' }\n[rates]\nCNY = 0.14";
        assert_eq!(parse(text).unwrap(), image(70_000_000_000));
        let text = "PRICE = { image = { '1024x1024' = 0.04, default = 0.06 }, call = 0 }";
        let of = |width| Quantity { images: Some(1), size: Some((width, 1024)), ..Quantity::default() };
        let price = parse(text).unwrap().unwrap();
        assert_eq!((price.of(&of(1024)), price.of(&of(1536))), (Some(40_000), Some(60_000)));
    }

    #[test]
    fn a_price_that_is_none_is_refused_without_its_value() {
        for (text, part) in [
            ("PRICE = 0.04", "providers.x.price must be a table of amounts"),
            ("PRICE = {}", "providers.x.price must be a table of amounts"),
            ("PRICE = { imgae = 0.04 }", "providers.x.price must be a table of amounts"),
            ("PRICE = { image = 'SECRET' }", "providers.x.price must be a table of amounts"),
            ("PRICE = { image = -1 }", "from 0 to 100000"),
            ("PRICE = { image = nan }", "from 0 to 100000"),
            ("PRICE = { image = { '1024*1024' = 0.04 } }", "by size, quality or both"),
            ("PRICE = { image = { '1024x1024high' = 0.04 } }", "by size, quality or both"),
            ("PRICE = { image = { } }", "by size, quality or both"),
            ("PRICE = { image = 1, currency = 'CNY' }", "names a currency that [rates] does not have"),
            ("[rates]\nYuan = 1", "Yuan is no currency"),
            ("[rates]\nCNY = 0", "rates.CNY must be the US dollars"),
            (
                "[rates]\nCNY = 'x'",
                "rates.CNY must be the US dollars that one is worth, such as 0.14, not a text",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(part) && !error.contains("SECRET"), "{text}\n{error}");
        }
    }
}
