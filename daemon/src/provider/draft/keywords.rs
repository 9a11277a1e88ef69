//! What words put into a picture, in English and Chinese: data only.

/// What a prompt can ask for; each is a fact that `brief` makes decisions from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    Sea, Lake, Harbour, Mountains, Forest, City, Street, Rooftops, Desert, Meadow, Snowfield, Room, Space, Station,
    Lighthouse, Castle, Ruins, Bridge, House,
    Dawn, Day, Dusk, Night,
    Rain, Snowfall, Fog, Storm, Stars, Clear, Cloudy, Moon,
    Person, Woman, Girl, Boy, OldMan, Keeper, Pair, Crowd, Cat, Dog, Birds, Boat, Car, Train, Robot,
    CloseUp, Wide, Aerial,
}

/// One line of the table: the word, its English forms (whole words), its Chinese forms (anywhere).
pub type Line = (Word, &'static [&'static str], &'static [&'static str]);

/// English forms are in lower case; a plural in "s" is found by its singular.
#[rustfmt::skip]
pub const TABLE: &[Line] = &[
    // Places
    (Word::Sea, &["sea", "ocean", "coast", "coastal", "beach", "shore", "cliff", "wave", "island", "seaside", "bay"],
        &["大海", "海边", "海岸", "海滩", "海洋", "海浪", "海面", "沙滩", "海上", "岛", "悬崖", "海"]),
    (Word::Lake, &["lake", "river", "pond", "stream", "creek", "waterfall", "canal"], &["湖", "河", "江", "溪", "池塘", "瀑布", "运河", "小河"]),
    (Word::Harbour, &["harbour", "harbor", "port", "dock", "pier", "marina", "wharf", "quay"], &["港口", "码头", "海港", "渔港", "港湾"]),
    (Word::Mountains, &["mountain", "peak", "alps", "alpine", "summit", "valley", "volcano", "hill", "himalaya", "ridge"], &["山", "峰", "山谷", "火山", "峡谷", "丘陵"]),
    (Word::Forest, &["forest", "wood", "jungle", "grove", "pine", "tree", "bamboo", "rainforest"], &["森林", "树林", "丛林", "竹林", "松林", "林间", "树"]),
    (Word::City, &["city", "skyline", "skyscraper", "downtown", "metropolis", "town", "urban", "tokyo", "shanghai", "tower"], &["城市", "都市", "摩天", "高楼", "城镇", "上海", "东京", "天际线"]),
    (Word::Street, &["street", "alley", "road", "avenue", "lane", "market", "neon", "sidewalk", "crossing"], &["街道", "街", "小巷", "巷", "马路", "公路", "霓虹", "集市", "夜市", "路口"]),
    (Word::Rooftops, &["rooftop", "roof", "chimney"], &["屋顶", "天台", "楼顶"]),
    (Word::Desert, &["desert", "dune", "sahara", "oasis", "wasteland", "mars"], &["沙漠", "沙丘", "戈壁", "荒漠", "绿洲", "火星"]),
    (Word::Meadow, &["field", "meadow", "grass", "grassland", "prairie", "farm", "flower", "wheat", "garden", "park", "countryside", "hillside", "savanna"],
        &["田野", "草地", "草原", "草坪", "农场", "花", "麦田", "花园", "公园", "乡村", "田", "原野"]),
    (Word::Snowfield, &["glacier", "arctic", "antarctic", "tundra", "ice", "iceberg", "winter", "snowfield", "frozen", "snowy"], &["冰川", "雪原", "雪地", "北极", "南极", "冰", "冬天", "冬日", "冬"]),
    (Word::Room, &["room", "interior", "window", "indoor", "kitchen", "bedroom", "cafe", "office", "library", "desk", "studio", "table", "workshop", "inside"],
        &["房间", "室内", "窗", "厨房", "卧室", "咖啡", "办公室", "图书馆", "书桌", "书房", "屋里", "屋内", "客厅", "教室"]),
    (Word::Space, &["space", "galaxy", "planet", "nebula", "cosmos", "astronaut", "spaceship", "universe", "orbit", "lunar", "starship"],
        &["太空", "宇宙", "银河", "星系", "行星", "星云", "宇航员", "飞船", "月球"]),
    (Word::Station, &["station", "railway", "platform", "railroad", "rail", "subway"], &["车站", "火车站", "铁路", "站台", "月台", "地铁", "铁轨"]),
    // Landmarks
    (Word::Lighthouse, &["lighthouse", "beacon"], &["灯塔"]),
    (Word::Castle, &["castle", "fortress", "palace", "citadel", "cathedral", "kingdom"], &["城堡", "宫殿", "要塞", "王宫", "故宫", "宫"]),
    (Word::Ruins, &["ruin", "ruins", "ruined", "abandoned", "ancient", "temple", "column"], &["废墟", "遗迹", "古迹", "残垣", "寺", "庙", "遗址"]),
    (Word::Bridge, &["bridge", "viaduct", "aqueduct"], &["桥"]),
    (Word::House, &["house", "cottage", "cabin", "hut", "village", "barn", "home", "inn"], &["房子", "小屋", "木屋", "村庄", "村", "农舍", "家"]),
    // Time of day
    (Word::Dawn, &["dawn", "sunrise", "morning", "daybreak"], &["黎明", "日出", "清晨", "早晨", "破晓", "拂晓", "晨", "早上"]),
    (Word::Day, &["day", "noon", "midday", "afternoon", "daylight", "sunny", "summer", "sunlight"], &["白天", "中午", "正午", "午后", "晴天", "阳光", "夏", "下午"]),
    (Word::Dusk, &["dusk", "sunset", "evening", "twilight", "golden", "autumn"], &["黄昏", "日落", "傍晚", "夕阳", "暮", "晚霞", "秋"]),
    (Word::Night, &["night", "midnight", "nighttime", "dark", "darkness", "nocturnal", "moonlit", "moonlight", "neon"], &["夜", "午夜", "深夜", "晚上", "黑暗", "月光", "霓虹"]),
    // Weather and sky
    (Word::Rain, &["rain", "rainy", "raining", "drizzle", "downpour", "umbrella", "wet"], &["雨"]),
    (Word::Snowfall, &["snow", "snowing", "snowfall", "blizzard", "snowstorm", "snowflake", "snowy"], &["雪"]),
    (Word::Fog, &["fog", "foggy", "mist", "misty", "haze", "hazy", "smoke"], &["雾", "霾", "烟"]),
    (Word::Storm, &["storm", "stormy", "thunder", "thunderstorm", "lightning", "tempest", "typhoon", "hurricane"], &["暴风", "风暴", "雷", "闪电", "台风", "狂风", "暴雨"]),
    (Word::Stars, &["star", "starry", "constellation", "aurora", "milky"], &["星星", "星空", "星", "繁星", "极光"]),
    (Word::Clear, &["clear", "cloudless"], &["晴朗", "晴", "万里无云"]),
    (Word::Cloudy, &["cloud", "cloudy", "overcast", "grey", "gray"], &["云", "阴天", "多云"]),
    (Word::Moon, &["moon", "moonlit", "moonlight", "crescent"], &["月亮", "月光", "明月", "圆月", "满月"]),
    // Figures
    (Word::Person, &["person", "man", "traveler", "traveller", "figure", "hero", "hiker", "detective", "samurai", "soldier", "king", "someone", "wanderer", "knight", "monk", "he", "astronaut", "painter", "fisherman", "wizard"],
        &["人", "男人", "旅人", "旅行者", "侦探", "武士", "骑士", "英雄", "宇航员", "渔夫", "他"]),
    (Word::Woman, &["woman", "lady", "queen", "princess", "mother", "she", "witch", "bride", "dancer"], &["女人", "女子", "女士", "公主", "母亲", "女王", "她", "女巫", "妈妈"]),
    (Word::Girl, &["girl", "daughter", "schoolgirl"], &["女孩", "少女", "姑娘", "小女孩", "女儿"]),
    (Word::Boy, &["boy", "child", "kid", "son"], &["男孩", "少年", "孩子", "小孩", "儿童", "儿子"]),
    (Word::OldMan, &["old man", "elder", "grandfather", "grandpa", "elderly", "hermit"], &["老人", "老者", "爷爷", "老头", "老翁"]),
    (Word::Keeper, &["keeper", "sailor", "captain", "guard", "watchman", "lantern"], &["守塔人", "看守", "船长", "水手", "守卫", "守夜人", "守灯人", "灯笼"]),
    (Word::Pair, &["couple", "two people", "lovers", "friend", "twins", "together", "pair"], &["两个人", "两人", "情侣", "恋人", "朋友", "俩", "双胞胎", "一对"]),
    (Word::Crowd, &["crowd", "people", "crowded", "army", "parade", "audience", "pedestrian", "group"], &["人群", "众人", "军队", "游行", "观众", "行人", "人们", "人山人海"]),
    (Word::Cat, &["cat", "kitten", "kitty"], &["猫"]),
    (Word::Dog, &["dog", "puppy", "wolf", "fox"], &["狗", "犬", "狼", "狐狸"]),
    (Word::Birds, &["bird", "gull", "seagull", "crow", "raven", "eagle", "flock", "crane", "dragon"], &["鸟", "海鸥", "乌鸦", "鹰", "大雁", "鹤", "燕子", "鸽"]),
    (Word::Boat, &["boat", "ship", "sailboat", "yacht", "ferry", "vessel", "sail", "canoe"], &["船", "帆", "轮渡", "小舟", "舟"]),
    (Word::Car, &["car", "taxi", "truck", "vehicle", "drive", "driving", "bus"], &["汽车", "轿车", "出租车", "卡车", "小车", "开车", "公交"]),
    (Word::Train, &["train", "locomotive", "tram", "express"], &["火车", "列车", "高铁", "电车"]),
    (Word::Robot, &["robot", "android", "cyborg", "mech"], &["机器人", "机甲"]),
    // Camera
    (Word::CloseUp, &["close-up", "closeup", "close up", "portrait", "headshot", "face"], &["特写", "近景", "肖像", "面部", "脸"]),
    (Word::Wide, &["wide", "panorama", "panoramic", "vast", "establishing", "epic", "landscape", "distant"], &["全景", "远景", "广角", "辽阔", "宏大", "遥远"]),
    (Word::Aerial, &["aerial", "drone", "bird's-eye", "overhead", "above", "birds-eye"], &["航拍", "俯瞰", "鸟瞰", "俯视", "空中"]),
];
