-- The store's tables. Losses are keyed by content (example_id) and by what computed them (loss_set), never by a
-- position in a file: relabelling, reordering or re-importing rows keeps them.

CREATE TABLE store_version (version INTEGER NOT NULL);

CREATE TABLE store_change (changes BIGINT NOT NULL);  -- one row: how many changes were committed, see change_record.py

CREATE TABLE dataset (
    dataset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE removed_dataset (            -- a dataset that was removed and can be restored; its rows stay where they are
    dataset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    removed_at TIMESTAMPTZ NOT NULL,
    merged_into INTEGER,                  -- the dataset that got a copy of its rows; NULL: it was only removed
    merged_sources INTEGER[] NOT NULL     -- the source_ids of that copy
);

CREATE TABLE source (                     -- one imported file
    source_id INTEGER NOT NULL,
    dataset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    format VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,
    options VARCHAR NOT NULL,             -- JSON: domain rule and column mapping it was read with
    row_count BIGINT NOT NULL,
    rejected_count BIGINT NOT NULL,
    imported_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE example (                    -- one conversation, however many rows hold it
    example_id UUID NOT NULL,
    -- Texts are kept as they are: to compress them took three times as long as all else of an import, and made
    -- every page that shows one slower.
    conversation VARCHAR NOT NULL USING COMPRESSION uncompressed,  -- canonical JSON, core.data.examples.Example.to_json
    prompt VARCHAR NOT NULL USING COMPRESSION uncompressed,
    response VARCHAR NOT NULL USING COMPRESSION uncompressed
);

CREATE TABLE text_measure (               -- measures of an example's text: core.store.text_measures
    example_id UUID NOT NULL,
    repeated_share FLOAT,                 -- NULL: the response has fewer words than one sequence
    copied_share FLOAT,
    prompt_key UBIGINT                    -- equal for equal prompts
);

CREATE TABLE dataset_row (
    dataset_id INTEGER NOT NULL,
    row_number BIGINT NOT NULL,           -- from 1, in import order, over all files of the dataset
    example_id UUID NOT NULL,
    domain VARCHAR NOT NULL,
    source_id INTEGER NOT NULL,
    line BIGINT NOT NULL,
    original BLOB NOT NULL USING COMPRESSION uncompressed  -- the record byte for byte
);

CREATE TABLE preference_pair (            -- two rows of a dataset that answer one prompt
    dataset_id INTEGER NOT NULL,
    chosen_row BIGINT NOT NULL,           -- row_number
    rejected_row BIGINT NOT NULL
);

CREATE TABLE rejection (
    source_id INTEGER NOT NULL,
    line BIGINT NOT NULL,
    reason VARCHAR NOT NULL,
    detail VARCHAR NOT NULL
);

CREATE TABLE loss_set (                   -- one model reading one encoding
    loss_set_id INTEGER NOT NULL,
    model_fingerprint VARCHAR NOT NULL,
    encoding_fingerprint VARCHAR NOT NULL,
    model_label VARCHAR NOT NULL,
    noise_floor DOUBLE                    -- [nats per token], NULL until measured
);

CREATE TABLE loss (
    loss_set_id INTEGER NOT NULL,
    example_id UUID NOT NULL,
    nll_sum DOUBLE,                       -- [nats]; NULL with a reason where there is none
    token_count INTEGER NOT NULL,         -- scored tokens
    truncated BOOLEAN NOT NULL,
    reason VARCHAR,
    left_out FLOAT,                       -- share of the reply that the chat template does not write; NULL: none
    -- The part on tokens that end a reply; NULL for losses from before store version 6.
    end_nll_sum DOUBLE,                   -- [nats]
    end_token_count INTEGER
);

CREATE TABLE shard (                      -- ledger of ingested shards: each counts once
    name VARCHAR NOT NULL,
    row_count BIGINT NOT NULL,            -- losses that were new with it
    ingested_at TIMESTAMPTZ NOT NULL,
    -- What it brought, to hold the loss table to; NULL for shards from before store version 3.
    loss_set_id INTEGER,
    nll_total DOUBLE,                     -- [nats], the sum over those of them that are finite
    sha256 VARCHAR                        -- of the shard's file
);

CREATE TABLE run (                        -- a dataset and the losses that it is judged by
    run_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    dataset_id INTEGER NOT NULL,
    description VARCHAR NOT NULL,         -- JSON: models, encoding, versions
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE imported_score (             -- a score that was computed elsewhere: core.store.imported_scores
    imported_score_id INTEGER NOT NULL,
    dataset_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,                -- its column in scored tables
    file VARCHAR NOT NULL,
    file_column VARCHAR NOT NULL,
    sha256 VARCHAR NOT NULL,              -- of the file
    joined_by VARCHAR NOT NULL,           -- row, example-id or text-hash
    unmatched_count BIGINT NOT NULL,      -- values of the file whose row the dataset lacks
    imported_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE imported_value (
    imported_score_id INTEGER NOT NULL,
    row_number BIGINT NOT NULL,           -- of the score's dataset
    value DOUBLE NOT NULL                 -- finite
);

CREATE TABLE removed_run (                -- the runs of removed datasets; their run_loss and scored tables stay
    run_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    dataset_id INTEGER NOT NULL,
    description VARCHAR NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE run_loss (                   -- a run's loss sets, one for each role
    run_id INTEGER NOT NULL,
    role VARCHAR NOT NULL,                -- core.data.loss_roles.LOSS_ROLES
    loss_set_id INTEGER NOT NULL
);

CREATE TABLE run_embeddings (             -- of runs that use others than their base's
    run_id INTEGER NOT NULL,
    spec VARCHAR NOT NULL                 -- JSON: core.store.embedding_files.EmbeddingSpec
);

CREATE TABLE selection (
    name VARCHAR NOT NULL,
    recipe VARCHAR NOT NULL,              -- JSON: core.selection.Selection
    summary VARCHAR NOT NULL,             -- JSON: rows and tokens kept, by domain, as of saving
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE draft (                      -- a person's unsaved selection of a run: core.store.drafts
    person VARCHAR NOT NULL,              -- e-mail; '' without a login
    run_id INTEGER NOT NULL,
    first_step BIGINT NOT NULL,           -- the oldest state that can be gone back to
    step BIGINT NOT NULL,                 -- the current state
    last_step BIGINT NOT NULL,            -- above `step` where changes were undone
    changed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE draft_part (                 -- a part of a draft's states, from this step until the part's next row
    person VARCHAR NOT NULL,
    run_id INTEGER NOT NULL,
    part VARCHAR NOT NULL,
    step BIGINT NOT NULL,
    content VARCHAR NOT NULL              -- JSON: core.selection.DraftState
);

CREATE TABLE trained_example (            -- what a reference that was trained here has seen
    model_fingerprint VARCHAR NOT NULL,
    example_id UUID NOT NULL
);

CREATE TABLE token_loss (                 -- losses token by token of the examples somebody looked at
    loss_set_id INTEGER NOT NULL,
    example_id UUID NOT NULL,
    tokens VARCHAR NOT NULL               -- JSON: what core.scoring.tokens.losses saves
);

CREATE TABLE near_duplicate_set (         -- one search for near duplicates
    near_duplicate_set_id INTEGER NOT NULL,
    dataset_id INTEGER NOT NULL,
    threshold DOUBLE NOT NULL,            -- least similarity of two that are linked: Jaccard, or cosine of embeddings
    example_count BIGINT NOT NULL,        -- different examples of the dataset then
    created_at TIMESTAMPTZ NOT NULL,
    embeddings VARCHAR                    -- key of the embeddings that were compared; NULL: texts were
);

CREATE TABLE near_duplicate (             -- members of groups of two or more
    near_duplicate_set_id INTEGER NOT NULL,
    example_id UUID NOT NULL,
    group_number BIGINT NOT NULL
);

CREATE TABLE map_set (                    -- one map of a dataset: core.store.maps
    map_set_id INTEGER NOT NULL,
    dataset_id INTEGER NOT NULL,
    key VARCHAR NOT NULL,                 -- hex digest of everything that the places depend on; filters name it
    embeddings VARCHAR NOT NULL,          -- key of the embeddings that were laid out
    description VARCHAR NOT NULL,         -- JSON: library, seed, what else its job was asked
    place_count BIGINT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE map_place (
    map_set_id INTEGER NOT NULL,
    example_id UUID NOT NULL,
    x FLOAT NOT NULL,                     -- finite
    y FLOAT NOT NULL
);

CREATE TABLE template_day (day VARCHAR NOT NULL);  -- at most one row: the date given to templates that ask for one
