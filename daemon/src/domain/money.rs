//! The cost of results: prices, the quantities that they apply to, and amounts. Amounts are whole millionths of a US dollar, which add up exactly.
//! Pure.

use std::collections::BTreeMap;

/// The number of unit price units in a microdollar. Unit prices are whole millionths of a millionth of a US dollar, because a character of speech
/// costs only some millionths of a dollar.
const PICO_PER_MICRO: u128 = 1_000_000;

/// The number of tokens that `input_mtok` and `output_mtok` are the price of.
const TOKENS: u128 = 1_000_000;

/// The cost of a task, or its estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// The amount, in millionths of a US dollar.
    pub microusd: u64,
    /// Whether the amount was computed from a price. False if the provider reported it.
    pub is_estimate: bool,
}

impl Cost {
    /// Returns the sum of two costs. If one of them is unknown, it returns the other.
    pub fn sum(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(Self {
                microusd: one.microusd.saturating_add(other.microusd),
                is_estimate: one.is_estimate || other.is_estimate,
            }),
            (one, other) => one.or(other),
        }
    }

    /// The cost of work that is free, and of cached results.
    pub const NOTHING: Self = Self { microusd: 0, is_estimate: false };

    /// Returns the cost as the wire shows it.
    pub fn shown(self) -> reel_protocol::Cost {
        let Self { microusd, is_estimate } = self;
        reel_protocol::Cost { amount: microusd as f64 / 1e6, currency: "USD".to_owned(), is_estimate }
    }
}

/// A price per unit, in millionths of a millionth of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnitPrice(pub u64);

/// The price of a picture: the same for all, or by size and quality.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PicturePrice {
    /// The price of every picture.
    One(UnitPrice),
    /// Prices by the keys `1024x1024 high`, `1024x1024`, `high` and `default`. The first of these keys that the table has counts.
    Table(BTreeMap<String, UnitPrice>),
}

/// The prices of a provider. A price of None adds nothing to the cost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Price {
    /// The price of a picture.
    pub image: Option<PicturePrice>,
    /// The price of a million pixels.
    pub megapixel: Option<UnitPrice>,
    /// The price of a second of sound or film.
    pub second: Option<UnitPrice>,
    /// The price of a character of spoken text.
    pub character: Option<UnitPrice>,
    /// The price of a request.
    pub call: Option<UnitPrice>,
    /// The price of a million input tokens.
    pub input_mtok: Option<UnitPrice>,
    /// The price of a million output tokens.
    pub output_mtok: Option<UnitPrice>,
}

/// The quantities of a request, or their estimates. A quantity is None if the request has nothing of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quantity {
    /// The number of pictures.
    pub images: Option<u64>,
    /// The requested width and height, in pixels.
    pub size: Option<(u32, u32)>,
    /// The requested quality, as the provider names it.
    pub quality: Option<String>,
    /// The number of pixels of all pictures together.
    pub pixels: Option<u64>,
    /// The duration of sound or film, in milliseconds.
    pub milliseconds: Option<u64>,
    /// The number of spoken characters.
    pub characters: Option<u64>,
    /// The number of input tokens.
    pub input_tokens: Option<u64>,
    /// The number of output tokens.
    pub output_tokens: Option<u64>,
}

impl PicturePrice {
    fn of(&self, quantity: &Quantity) -> Option<UnitPrice> {
        let table = match self {
            Self::One(price) => return Some(*price),
            Self::Table(table) => table,
        };
        let size = quantity.size.map(|(width, height)| format!("{width}x{height}"));
        let quality = quantity.quality.as_deref();
        let both = size.as_deref().zip(quality).map(|(size, quality)| format!("{size} {quality}"));
        let keys = [both.as_deref(), size.as_deref(), quality, Some("default")];
        keys.into_iter().flatten().find_map(|key| table.get(key)).copied()
    }
}

impl Price {
    /// Returns the cost of these quantities, in millionths of a US dollar. None if the price does not apply to such a request.
    pub fn of(&self, quantity: &Quantity) -> Option<u64> {
        let picture = self.image.as_ref().and_then(|image| image.of(quantity));
        let parts = [
            part(picture, quantity.images, 1),
            part(self.megapixel, quantity.pixels, 1_000_000),
            part(self.second, quantity.milliseconds, 1_000),
            part(self.character, quantity.characters, 1),
            part(self.input_mtok, quantity.input_tokens, TOKENS),
            part(self.output_mtok, quantity.output_tokens, TOKENS),
            part(self.call, Some(1), 1),
        ];
        // If the table has no entry for this size, the price is unknown, whatever a call costs in addition.
        let is_missing = self.image.is_some() && picture.is_none() && quantity.images.is_some();
        let known = parts.iter().flatten().count();
        if known == 0 || is_missing {
            return None;
        }
        let pico: u128 = parts.iter().flatten().sum();
        u64::try_from((pico + PICO_PER_MICRO / 2) / PICO_PER_MICRO).ok()
    }

    /// Returns the cost of a call by the tokens that its provider counted, in millionths of a US dollar. None if there is no price of tokens or none
    /// were counted.
    pub fn of_tokens(&self, input: Option<u64>, output: Option<u64>) -> Option<u64> {
        let price = Self {
            input_mtok: self.input_mtok,
            output_mtok: self.output_mtok,
            call: self.call,
            ..Self::default()
        };
        let has_tokens = (self.input_mtok.is_some() && input.is_some())
            || (self.output_mtok.is_some() && output.is_some());
        let quantity = Quantity { input_tokens: input, output_tokens: output, ..Quantity::default() };
        has_tokens.then(|| price.of(&quantity)).flatten()
    }
}

fn part(price: Option<UnitPrice>, amount: Option<u64>, per: u128) -> Option<u128> {
    let (price, amount) = (u128::from(price?.0), u128::from(amount?));
    Some(price * amount / per)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(dollars: f64) -> UnitPrice {
        UnitPrice((dollars * 1e12).round() as u64)
    }

    #[test]
    fn a_price_is_for_what_the_request_has() {
        let pictures = Quantity {
            images: Some(3),
            size: Some((1024, 1536)),
            pixels: Some(3 * 1024 * 1536),
            ..Quantity::default()
        };
        let high = Quantity { quality: Some("high".to_owned()), ..pictures.clone() };
        let speech = Quantity { characters: Some(1_000), milliseconds: Some(2_500), ..Quantity::default() };
        let chat = Quantity { input_tokens: Some(1_000), output_tokens: Some(500), ..Quantity::default() };
        let one = |image| Price { image: Some(image), ..Price::default() };
        let table = |rows: &[(&str, f64)]| {
            one(PicturePrice::Table(
                rows.iter().map(|(key, price)| ((*key).to_owned(), usd(*price))).collect(),
            ))
        };
        let flat = one(PicturePrice::One(usd(0.04)));
        let by_size = table(&[("1024x1536", 0.06), ("1024x1536 high", 0.25), ("default", 0.01)]);
        let by_quality = table(&[("high", 0.2)]);
        for (price, quantity, expected) in [
            (&flat, &pictures, Some(120_000)),
            (&flat, &speech, None),
            (&by_size, &pictures, Some(180_000)),
            (&by_size, &high, Some(750_000)),
            (&by_quality, &high, Some(600_000)),
            (&by_quality, &pictures, None),
            (&Price { megapixel: Some(usd(0.01)), ..Price::default() }, &pictures, Some(47_186)),
            (&Price { character: Some(usd(15e-6)), ..Price::default() }, &speech, Some(15_000)),
            (
                &Price { second: Some(usd(0.001)), call: Some(usd(0.5)), ..Price::default() },
                &speech,
                Some(502_500),
            ),
            (
                &Price { input_mtok: Some(usd(0.3)), output_mtok: Some(usd(1.2)), ..Price::default() },
                &chat,
                Some(900),
            ),
            (&Price::default(), &chat, None),
        ] {
            assert_eq!(price.of(quantity), expected, "{price:?} {quantity:?}");
        }
    }

    #[test]
    fn tokens_that_were_counted_cost_what_their_price_says() {
        let price = Price {
            output_mtok: Some(usd(30.0)),
            image: Some(PicturePrice::One(usd(1.0))),
            ..Price::default()
        };
        assert_eq!(price.of_tokens(Some(50), Some(1_000)), Some(30_000));
        assert_eq!(price.of_tokens(Some(50), None), None);
        assert_eq!(Price::default().of_tokens(Some(1), Some(1)), None);
        let most = Price { call: Some(UnitPrice(u64::MAX)), ..Price::default() };
        assert_eq!(most.of(&Quantity::default()), Some(18_446_744_073_710), "nothing overflows");
    }
}
