//! What a client asks for, in words and sensibly grouped.

use super::Text;

/// One thing that a client asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Permission<'a> {
    /// The scope in its plain form, `read:orders`.
    pub scope: &'a str,
    /// What it allows, in the words of the project's registry or of [`words`]; the scope itself is shown if there are none.
    pub words: Text<'a>,
}

impl<'a> Permission<'a> {
    /// What is shown: never nothing, so that no permission goes unseen.
    pub fn told(&self) -> Text<'a> {
        if self.words.is_blank() { Text::from(self.scope) } else { self.words }
    }

    fn kind(&self) -> Kind {
        match self.scope {
            "admin" => Kind::Everything,
            "openid" | "profile" | "email" | "phone" | "address" => Kind::Identity,
            "offline_access" => Kind::Lasting,
            scope => match scope.split(':').next() {
                Some("read" | "list" | "search" | "view") => Kind::See,
                _ => Kind::Act,
            },
        }
    }
}

/// What a client asks for, grouped: what weighs most comes first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Permissions<'a>(Vec<Group<'a>>);

impl<'a> Permissions<'a> {
    /// Groups what is asked for; within a group the order stays as it was.
    pub fn new(asked: impl IntoIterator<Item = Permission<'a>>) -> Self {
        let mut groups: Vec<(Kind, Group<'a>)> = Vec::new();
        for permission in asked {
            let kind = permission.kind();
            match groups.iter_mut().find(|(of, _)| *of == kind) {
                Some((_, group)) => group.permissions.push(permission),
                None => groups
                    .push((kind, Group { title: kind.title(), grave: kind.is_grave(), permissions: vec![permission] })),
            }
        }
        groups.sort_by_key(|(kind, _)| *kind);
        Self(groups.into_iter().map(|(_, group)| group).collect())
    }

    /// The groups that are not empty.
    pub fn groups(&self) -> &[Group<'a>] {
        &self.0
    }
}

/// Permissions of one kind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Group<'a> {
    /// The heading.
    pub title: &'static str,
    /// Whether it is to stand out.
    pub grave: bool,
    /// What is in it; at least one.
    pub permissions: Vec<Permission<'a>>,
}

/// The words for a scope of OpenID Connect (Core, sections 5.4 and 11), which no registry has.
pub fn words(scope: &str) -> Option<&'static str> {
    Some(match scope {
        "openid" => "Which user you are",
        "profile" => "Your name and handle",
        "email" => "Your email address",
        "phone" => "Your phone number",
        "address" => "Your postal address",
        "offline_access" => "Keep its access until it is taken back",
        _ => return None,
    })
}

/// The kinds of permissions, in the order they are shown.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Kind {
    Everything,
    Act,
    See,
    Identity,
    Lasting,
}

impl Kind {
    const fn title(self) -> &'static str {
        match self {
            Self::Everything => "Full control",
            Self::Act => "What it may do",
            Self::See => "What it may see",
            Self::Identity => "What it learns about you",
            Self::Lasting => "When you are away",
        }
    }

    const fn is_grave(self) -> bool {
        matches!(self, Self::Everything)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_grouped_by_weight() {
        let asked =
            ["openid", "read:orders", "reveal:keys", "admin", "offline_access", "write:orders", "read:users", "email"];
        let permissions = Permissions::new(asked.map(|scope| Permission { scope, words: Text::default() }));
        let told: Vec<_> = permissions
            .groups()
            .iter()
            .map(|group| (group.title, group.grave, group.permissions.iter().map(|one| one.scope).collect::<Vec<_>>()))
            .collect();
        assert_eq!(
            told,
            [
                ("Full control", true, vec!["admin"]),
                ("What it may do", false, vec!["reveal:keys", "write:orders"]),
                ("What it may see", false, vec!["read:orders", "read:users"]),
                ("What it learns about you", false, vec!["openid", "email"]),
                ("When you are away", false, vec!["offline_access"]),
            ]
        );
    }

    #[test]
    fn no_permission_goes_unseen() {
        let told = |words: &'static str| Permission { scope: "read:orders", words: words.into() }.told().to_string();
        assert_eq!(told("See orders"), "See orders");
        for blank in ["", " ", "\u{3164}\u{202e}"] {
            assert_eq!(told(blank), "read:orders");
        }
    }
}
