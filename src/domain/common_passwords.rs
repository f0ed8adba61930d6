//! The passwords that most people have who have a bad one: those of eight characters and more that head every list of
//! leaked ones. Runs of one character or of neighbours are judged by rule, and are not listed.

/// Whether a password in small letters is one of them.
pub(super) fn contains(folded: &str) -> bool {
    COMMON.binary_search(&folded).is_ok()
}

/// In small letters, and in order.
#[rustfmt::skip]
const COMMON: &[&str] = &[
    "!qaz2wsx", "00000001", "00112233", "01010101", "01012011", "0987654321", "10101010", "10203040", "102030405",
    "1029384756", "11112222", "111222333", "11221122", "11223344", "1122334455", "112233445566", "12121212",
    "121212121", "12312312", "123123123", "1231231234", "123321123", "12341234", "12344321", "1234567890",
    "1234567890q", "1234567891", "12345678910", "123456789123", "1234567899", "123456789a", "12345678a", "123456aa",
    "123456ab", "123456abc", "123456qw", "123456qwerty", "12345abc", "12345qwert", "1234abcd", "1234qwer", "123abc123",
    "123password", "123qwe123", "123qweasd", "123qweasdzxc", "13131313", "14141414", "147258369", "147852369",
    "159357159", "159753159", "159951159", "19841984", "19851985", "19871987", "19891989", "1q2w3e4r", "1q2w3e4r5t",
    "1q2w3e4r5t6y", "1qaz2wsx", "1qaz2wsx3edc", "20002000", "20202020", "20222022", "20232023", "20242024", "20252025",
    "20262026", "21212121", "23232323", "25252525", "31415926", "314159265", "321321321", "33445566", "43214321",
    "44332211", "456456456", "5201314520", "55667788", "66778899", "69696969", "741852963", "77778888", "78945612",
    "789456123", "789789789", "852963741", "87654321a", "88889999", "963852741", "987654321a", "98769876", "999888777",
    "a1234567", "a12345678", "a123456789", "a1a1a1a1", "a1b2c3d4", "a1b2c3d4e5", "aa123456", "aa12345678", "aaa11111",
    "aaaa1111", "aaaabbbb", "abababab", "abc12345", "abc123456", "abc123abc", "abcabc123", "abcd1234", "abcde123",
    "abcdef123", "access123", "access14", "admin123", "admin1234", "admin12345", "administrator", "administrator1",
    "alessandro", "alexander", "alexandr", "alexandra", "allahuakbar", "america1", "andrew123", "android1", "angel123",
    "angelito", "angels12", "anthony1", "aqw12345", "arsenal1", "as123456", "asd123456", "asdf1234", "asdfasdf",
    "asdfgh123", "asdfghjk", "asdfghjkl", "asdqwe123", "ashley12", "asshole1", "australia", "autumn2024", "autumn2025",
    "azerty12", "azerty123", "azertyuiop", "babyboy1", "babygirl", "babygirl1", "backup123", "bangladesh", "barcelona",
    "baseball", "baseball1", "basketball", "batman123", "beautiful", "benjamin", "bigdaddy", "bigdicks", "bismillah",
    "blahblah", "blessed1", "blessing", "brasil123", "bullshit", "butterfly", "california", "callofduty", "caroline",
    "catherine", "changeit", "changeme", "changeme1", "changeme123", "charlie1", "charlotte", "cheesecake", "chelsea1",
    "chelseafc", "chocolate", "christian", "christina", "christopher", "computer", "computer1", "contrasena",
    "cookie123", "corazon1", "corvette", "counterstrike", "cowboys1", "cupcake1", "daniel123", "danielle", "database",
    "database1", "december", "default1", "default123", "demo1234", "demodemo", "deutschland", "dragon12", "dragon123",
    "eagles123", "elizabeth", "estrella", "facebook", "facebook1", "february", "fernando", "ferrari1", "flower123",
    "flowers1", "football", "football1", "forever1", "fortnite", "francesco", "freedom1", "freedom123", "friends1",
    "friendship", "fuckoff1", "fuckyou1", "fuckyou123", "fuckyou2", "gabriel1", "gandalf1", "garfield", "gatepost",
    "gatepost1", "germany1", "ginger12", "giovanni", "godisgood", "goodbye1", "goodluck", "google123", "guadalupe",
    "guest123", "guest1234", "hahahaha", "harrypotter", "hello123", "hello1234", "hellohello", "helloworld", "hogwarts",
    "hunter12", "hunter123", "ilovegod", "iloveme1", "iloveu12", "iloveyou", "iloveyou!", "iloveyou1", "iloveyou2",
    "india123", "indian123", "indonesia", "instagram", "internet", "internet1", "iphone123", "isabella", "isabelle",
    "jennifer", "jessica1", "jesus123", "jesuschrist", "jesuslives", "jonathan", "jordan23", "juventus", "killer123",
    "krishna1", "lakers24", "lalalala", "letmein!", "letmein1", "letmein12", "letmein123", "letmeinn", "li123456",
    "linkedin", "liverpool", "liverpool1", "lkjhgfdsa", "login123", "loginlogin", "london123", "lovelove", "loveme123",
    "loveyou1", "macbook1", "manchester", "mariposa", "marlboro", "master12", "master123", "matrix123", "matthew1",
    "maverick", "mercedes", "metallic", "metallica", "michael1", "michelle", "microsoft", "midnight", "midnight1",
    "minecraft", "minecraft1", "mnbvcxz1", "mohamed1", "mohammed", "monkey12", "monkey123", "motdepasse",
    "motherfucker", "muhammad", "mustang1", "mylove123", "mypass123", "mypassword", "mysql123", "newyork1", "nicholas",
    "nicole12", "nintendo", "nirvana1", "nopassword", "nothing1", "november", "october1", "opensesame", "openup123",
    "oracle123", "p@ssw0rd", "p@ssword", "p@ssword1", "pa$$word", "packers1", "pakistan", "panther1", "panthers",
    "pass1234", "pass12345", "pass123456", "passpass", "passw0rd", "passw0rd1", "password", "password!", "password.",
    "password00", "password01", "password1", "password11", "password12", "password123", "password1234", "password2",
    "password99", "passwords", "passwort", "passwort1", "patricia", "patriots", "peaches1", "peanut12", "pepper12",
    "philippines", "playstation", "poiuytrewq", "pokemon1", "pokemon123", "porsche1", "postgres", "postgres1",
    "precious", "princess", "princess1", "pussycat", "q1234567", "q1q1q1q1", "q1w2e3r4", "q1w2e3r4t5", "qazwsx123",
    "qazwsxedc", "qq123456", "qwe123456", "qwe123qwe", "qweasdzxc", "qweqwe123", "qwer1234", "qwerasdf", "qwerty12",
    "qwerty123", "qwerty1234", "qwerty12345", "qwerty78", "qwertyqwerty", "qwertyui", "qwertyuiop", "rainbow1",
    "realmadrid", "redsox123", "richard1", "roblox123", "rockstar", "rockyou1", "root1234", "rootroot", "runescape",
    "samantha", "samsung1", "samsung123", "sanfrancisco", "saturday", "scooby12", "sebastian", "secret12", "secret123",
    "secret1234", "september", "server123", "sesame123", "shadow12", "shadow123", "skywalker", "snoopy12", "snowball",
    "sophie12", "spiderman", "spongebob", "spring2023", "spring2024", "spring2025", "startrek", "starwars", "starwars1",
    "steelers", "stephanie", "strawberry", "summer123", "summer2020", "summer2021", "summer2022", "summer2023",
    "summer2024", "summer2025", "sunflower", "sunshine", "sunshine1", "superman", "superman1", "supersonic",
    "superstar", "system123", "system32", "teamomucho", "temp1234", "temporary", "temppass", "tequiero", "test1234",
    "test12345", "tester123", "testing1", "testing123", "testtest", "thomas123", "thursday", "tigger12", "tigger123",
    "toor1234", "topsecret", "trustno1", "trustnoone", "twitter1", "user1234", "username", "valentina", "veronica",
    "victoria", "wang1234", "warcraft", "wednesday", "welcome!", "welcome1", "welcome12", "welcome123", "whatever",
    "whatever1", "william1", "windows1", "windows10", "winter123", "winter2020", "winter2021", "winter2022",
    "winter2023", "winter2024", "winter2025", "woaini1314", "woaini520", "yamaha123", "yankees1", "youtube1",
    "z1234567", "zaq12wsx", "zaq1zaq1", "zhang123", "zxc123456", "zxcasdqwe", "zxcv1234", "zxcvbnm1", "zxcvbnm123",
    "zxcvbnmm", "zzzz1111",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_holds_what_could_be_chosen() {
        assert!(COMMON.is_sorted_by(|one, other| one < other));
        for password in COMMON {
            assert!(password.len() >= 8 && *password == password.to_lowercase(), "{password}");
        }
        assert!(contains("password1") && contains("iloveyou") && !contains("vexillum"));
    }
}
