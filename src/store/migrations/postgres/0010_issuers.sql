-- Whose tokens say who the users are. `audiences` is a JSON list, `algorithms` a list of words. Without an address and without
-- keys, they are where the issuer's own description says.
CREATE TABLE issuers (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL REFERENCES projects (id),
    environment TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    display_name TEXT COLLATE "C" NOT NULL,
    description TEXT COLLATE "C" NOT NULL,
    jwks_uri TEXT COLLATE "C",
    jwks TEXT COLLATE "C",
    audiences TEXT COLLATE "C" NOT NULL,
    algorithms TEXT COLLATE "C" NOT NULL,
    email_claim TEXT COLLATE "C" NOT NULL,
    first_name_claim TEXT COLLATE "C" NOT NULL,
    last_name_claim TEXT COLLATE "C" NOT NULL,
    leeway_micros BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);

CREATE UNIQUE INDEX issuers_by_name ON issuers (project, environment, issuer);
CREATE INDEX issuers_listed ON issuers (project, environment, id);

-- Which user an issuer means. It outlives the issuer's row: the name is what the user belongs to.
CREATE TABLE identities (
    project TEXT COLLATE "C" NOT NULL,
    environment TEXT COLLATE "C" NOT NULL,
    issuer TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    user_id TEXT COLLATE "C" NOT NULL REFERENCES users (id),
    created_at BIGINT NOT NULL,
    PRIMARY KEY (project, environment, issuer, subject)
);

CREATE INDEX identities_of_user ON identities (user_id);
