//! The names of the fields that the pages' forms post, for whoever reads them.

/// The CSRF token; every form has it.
pub const CSRF: &str = "csrf";

/// Which button was pressed: see [`Decision`](super::Decision).
pub const DECISION: &str = "decision";

/// A handle or an email address, on the sign-in page.
pub const LOGIN: &str = "login";

/// The password, on the sign-in and sign-up pages.
pub const PASSWORD: &str = "password";

/// The handle, on the sign-up page.
pub const HANDLE: &str = "handle";

/// The name to show, on the sign-up page; may be empty.
pub const ALIAS: &str = "alias";

/// The code that a device shows (RFC 8628, section 6.1), as somebody typed it.
pub const USER_CODE: &str = "user_code";
