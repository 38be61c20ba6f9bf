"""The database's schema, as numbered steps; each runs once, in a transaction with its own record.

Tables are in the schema `base` and may change; views are in `main` and are the public schema, a promise to those who
open the file with DuckDB themselves. Examples are numbered within their split by `position`, the 0-based row of its
file, so that dynamics hold a number where the views give an id. Runs and suites that were removed, but can be restored,
are in `base.all_runs` and `base.all_suites`; `base.runs` and `base.suites` are views of those that were not.
"""

from __future__ import annotations

import duckdb

from ftft_core.errors import WorkspaceError

MIGRATIONS: list[tuple[str, str]] = [
    (
        "first schema",
        """
        CREATE SEQUENCE base.numbers;
        CREATE TABLE base.suites (
            suite_no BIGINT PRIMARY KEY, name VARCHAR NOT NULL UNIQUE, fingerprint VARCHAR NOT NULL,
            training_fingerprint VARCHAR NOT NULL, labels VARCHAR[] NOT NULL, is_pair BOOLEAN NOT NULL,
            warnings VARCHAR[] NOT NULL, created_at TIMESTAMP NOT NULL
        );
        CREATE TABLE base.splits (
            suite_no BIGINT NOT NULL, split VARCHAR NOT NULL, place INTEGER NOT NULL, role VARCHAR NOT NULL,
            num_examples BIGINT NOT NULL, has_groups BOOLEAN NOT NULL, fingerprint VARCHAR NOT NULL, label_map VARCHAR
        );
        CREATE TABLE base.examples (
            suite_no BIGINT NOT NULL, split VARCHAR NOT NULL, position BIGINT NOT NULL, example_id VARCHAR NOT NULL,
            text VARCHAR, text_pair VARCHAR, label VARCHAR NOT NULL, "group" VARCHAR
        );
        CREATE TABLE base.subsets (
            subset_no BIGINT PRIMARY KEY, subset VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL UNIQUE,
            suite_no BIGINT NOT NULL, source_run_no BIGINT, strategy VARCHAR, fraction DOUBLE, size BIGINT NOT NULL,
            recipe VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL
        );
        CREATE TABLE base.subset_examples (
            subset_no BIGINT NOT NULL, position BIGINT NOT NULL, weight DOUBLE NOT NULL
        );
        CREATE TABLE base.runs (
            run_no BIGINT PRIMARY KEY, run_id VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL UNIQUE,
            suite_no BIGINT NOT NULL, suite_fingerprint VARCHAR NOT NULL, training_fingerprint VARCHAR NOT NULL,
            model VARCHAR NOT NULL, num_layers INTEGER NOT NULL, subset_no BIGINT, method VARCHAR NOT NULL,
            seed BIGINT NOT NULL, status VARCHAR NOT NULL, message VARCHAR NOT NULL, reference_run_no BIGINT,
            fraction DOUBLE NOT NULL, num_steps_planned BIGINT, num_optimizer_steps BIGINT, num_examples_seen BIGINT,
            resumed_from_step BIGINT, train_flops DOUBLE, train_seconds DOUBLE, evaluation_flops DOUBLE,
            evaluation_seconds DOUBLE, peak_memory_mib DOUBLE, device VARCHAR, precision VARCHAR, versions VARCHAR,
            config VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, finished_at TIMESTAMP
        );
        CREATE TABLE base.epochs (
            run_no BIGINT NOT NULL, epoch INTEGER NOT NULL, num_seen BIGINT NOT NULL, counted BOOLEAN NOT NULL
        );
        CREATE TABLE base.dynamics (
            run_no BIGINT NOT NULL, epoch INTEGER NOT NULL, position BIGINT NOT NULL, logits FLOAT[] NOT NULL
        );
        CREATE TABLE base.data_map (
            run_no BIGINT NOT NULL, position BIGINT NOT NULL, predicted_label VARCHAR, confidence DOUBLE,
            variability DOUBLE, correctness DOUBLE, correct_epochs BIGINT, forgetting_events BIGINT,
            never_learnt BOOLEAN, threshold_closeness DOUBLE, aum DOUBLE, el2n DOUBLE, loss DOUBLE, entropy DOUBLE,
            aleatoric DOUBLE, first_learnt_epoch BIGINT, prediction_flips BIGINT, label_quality DOUBLE
        );
        CREATE TABLE base.predictions (
            run_no BIGINT NOT NULL, split VARCHAR NOT NULL, position BIGINT NOT NULL, logits FLOAT[] NOT NULL
        );
        CREATE TABLE base.scores (
            run_no BIGINT NOT NULL, split VARCHAR NOT NULL, "group" VARCHAR, step BIGINT NOT NULL,
            metric VARCHAR NOT NULL, value DOUBLE, final BOOLEAN NOT NULL
        );

        CREATE VIEW suites AS
            SELECT name AS suite, fingerprint, labels, is_pair, warnings, training_fingerprint, created_at
            FROM base.suites;
        CREATE VIEW examples AS
            SELECT s.name AS suite, e.split, p.role, e.example_id, e.text, e.text_pair, e.label, e."group"
            FROM base.examples e JOIN base.suites s USING (suite_no)
            JOIN base.splits p ON p.suite_no = e.suite_no AND p.split = e.split;
        CREATE VIEW runs AS
            SELECT r.run_id, r.name, s.name AS suite, r.model, r.num_layers, x.subset, r.method, r.seed, r.status,
                f.run_id AS reference_run, r.num_optimizer_steps, r.num_examples_seen, r.resumed_from_step,
                r.train_flops, r.train_seconds, r.evaluation_flops, r.evaluation_seconds, r.peak_memory_mib,
                r.num_steps_planned, r.fraction,
                (SELECT count(*) FROM base.epochs e WHERE e.run_no = r.run_no AND e.counted) AS counted_epochs,
                r.device, r.precision, r.message, r.suite_fingerprint, r.training_fingerprint, r.versions, r.config,
                r.created_at, r.finished_at
            FROM base.runs r JOIN base.suites s USING (suite_no)
            LEFT JOIN base.subsets x ON x.subset_no = r.subset_no
            LEFT JOIN base.runs f ON f.run_no = r.reference_run_no;
        CREATE VIEW dynamics AS
            SELECT r.run_id, d.epoch, e.example_id, e.label, d.logits,
                exp(d.logits[list_position(s.labels, e.label)] - list_max(d.logits))
                    / list_sum(list_transform(d.logits, lambda z: exp(z - list_max(d.logits)))) AS gold_probability
            FROM base.dynamics d JOIN base.runs r USING (run_no) JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = r.suite_no AND e.split = 'train' AND e.position = d.position;
        CREATE VIEW data_map AS
            SELECT r.run_id, e.example_id, e.label, m.predicted_label, m.confidence, m.variability, m.correctness,
                m.correct_epochs, m.forgetting_events, m.never_learnt, m.threshold_closeness, m.aum, m.el2n, m.loss,
                m.entropy, m.aleatoric, m.first_learnt_epoch, m.prediction_flips, m.label_quality
            FROM base.data_map m JOIN base.runs r USING (run_no)
            JOIN base.examples e ON e.suite_no = r.suite_no AND e.split = 'train' AND e.position = m.position;
        CREATE VIEW predictions AS
            SELECT r.run_id, p.split, e.example_id, e.label, p.logits
            FROM base.predictions p JOIN base.runs r USING (run_no)
            JOIN base.examples e ON e.suite_no = r.suite_no AND e.split = p.split AND e.position = p.position;
        CREATE VIEW scores AS
            SELECT r.run_id, c.split, p.role, c."group", c.step, c.metric, c.value, c.final
            FROM base.scores c JOIN base.runs r USING (run_no)
            JOIN base.splits p ON p.suite_no = r.suite_no AND p.split = c.split;
        CREATE VIEW subsets AS
            SELECT x.subset, x.name, s.name AS suite, r.run_id AS source_run, x.strategy, x.fraction, x.size, x.recipe,
                x.created_at
            FROM base.subsets x JOIN base.suites s USING (suite_no)
            LEFT JOIN base.runs r ON r.run_no = x.source_run_no;
        CREATE VIEW subset_examples AS
            SELECT x.subset, e.example_id, m.weight
            FROM base.subset_examples m JOIN base.subsets x USING (subset_no)
            JOIN base.examples e ON e.suite_no = x.suite_no AND e.split = 'train' AND e.position = m.position;
        """,
    ),
    (
        "marks",
        """
        CREATE SEQUENCE base.action_numbers;
        CREATE TABLE base.actions (
            action BIGINT PRIMARY KEY, suite_no BIGINT NOT NULL, kind VARCHAR NOT NULL, value VARCHAR,
            author VARCHAR NOT NULL, reason VARCHAR, num_examples BIGINT NOT NULL, created_at TIMESTAMP NOT NULL,
            undone_at TIMESTAMP, undone_by VARCHAR, redone_at TIMESTAMP, redone_by VARCHAR
        );
        CREATE TABLE base.action_examples (action BIGINT NOT NULL, position BIGINT NOT NULL);

        CREATE VIEW base.standing AS
            SELECT action, a.suite_no, a.kind, a.value, a.author, a.created_at, x.position
            FROM base.actions a JOIN base.action_examples x USING (action) WHERE a.undone_at IS NULL;
        CREATE VIEW base.tags AS
            SELECT l.suite_no, l.position, l.tag FROM (
                SELECT suite_no, position, value AS tag, max(action) AS action FROM base.standing
                WHERE kind IN ('tag', 'untag') GROUP BY suite_no, position, value
            ) l JOIN base.actions a USING (action) WHERE a.kind = 'tag';
        CREATE VIEW base.exclusions AS
            SELECT l.suite_no, l.position FROM (
                SELECT suite_no, position, max(action) AS action FROM base.standing
                WHERE kind IN ('exclude', 'include') GROUP BY suite_no, position
            ) l JOIN base.actions a USING (action) WHERE a.kind = 'exclude';
        CREATE VIEW base.proposed_labels AS
            SELECT l.suite_no, l.position, a.value AS label FROM (
                SELECT suite_no, position, max(action) AS action FROM base.standing
                WHERE kind = 'propose_label' GROUP BY suite_no, position
            ) l JOIN base.actions a USING (action) WHERE a.value IS NOT NULL;

        CREATE VIEW tags AS
            SELECT s.name AS suite, e.example_id, m.tag FROM base.tags m JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = m.suite_no AND e.split = 'train' AND e.position = m.position;
        CREATE VIEW notes AS
            SELECT s.name AS suite, e.example_id, m.value AS note, m.author, m.created_at
            FROM base.standing m JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = m.suite_no AND e.split = 'train' AND e.position = m.position
            WHERE m.kind = 'note';
        CREATE VIEW exclusions AS
            SELECT s.name AS suite, e.example_id FROM base.exclusions m JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = m.suite_no AND e.split = 'train' AND e.position = m.position;
        CREATE VIEW proposed_labels AS
            SELECT s.name AS suite, e.example_id, m.label
            FROM base.proposed_labels m JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = m.suite_no AND e.split = 'train' AND e.position = m.position;
        CREATE VIEW history AS
            SELECT a.action, s.name AS suite, a.kind, a.value, a.author, a.reason, a.num_examples, a.created_at,
                a.undone_at, a.undone_by, a.redone_at, a.redone_by
            FROM base.actions a JOIN base.suites s USING (suite_no);
        """,
    ),
    (
        "subsets are removed softly",
        """
        CREATE TABLE base.kept_subsets (
            subset_no BIGINT PRIMARY KEY, subset VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL,
            suite_no BIGINT NOT NULL, source_run_no BIGINT, strategy VARCHAR, fraction DOUBLE, size BIGINT NOT NULL,
            recipe VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, removed_at TIMESTAMP
        );
        INSERT INTO base.kept_subsets SELECT *, NULL FROM base.subsets;
        DROP TABLE base.subsets;
        ALTER TABLE base.kept_subsets RENAME TO subsets;
        CREATE OR REPLACE VIEW subsets AS
            SELECT x.subset, x.name, s.name AS suite, r.run_id AS source_run, x.strategy, x.fraction, x.size, x.recipe,
                x.created_at
            FROM base.subsets x JOIN base.suites s USING (suite_no)
            LEFT JOIN base.runs r ON r.run_no = x.source_run_no
            WHERE x.removed_at IS NULL;
        CREATE OR REPLACE VIEW subset_examples AS
            SELECT x.subset, e.example_id, m.weight
            FROM base.subset_examples m JOIN base.subsets x USING (subset_no)
            JOIN base.examples e ON e.suite_no = x.suite_no AND e.split = 'train' AND e.position = m.position
            WHERE x.removed_at IS NULL;
        """,
    ),
    (
        "what a run keeps, and what stopping and watching cost",
        """
        ALTER TABLE base.runs ADD COLUMN kept_step BIGINT;
        ALTER TABLE base.runs ADD COLUMN stopping_flops DOUBLE;
        ALTER TABLE base.runs ADD COLUMN stopping_seconds DOUBLE;
        ALTER TABLE base.runs ADD COLUMN snapshot_flops DOUBLE;
        ALTER TABLE base.runs ADD COLUMN snapshot_seconds DOUBLE;
        UPDATE base.runs SET kept_step = num_optimizer_steps WHERE status = 'finished';
        CREATE OR REPLACE VIEW runs AS
            SELECT r.run_id, r.name, s.name AS suite, r.model, r.num_layers, x.subset, r.method, r.seed, r.status,
                f.run_id AS reference_run, r.num_optimizer_steps, r.num_examples_seen, r.resumed_from_step,
                r.train_flops, r.train_seconds, r.evaluation_flops, r.evaluation_seconds, r.peak_memory_mib,
                r.num_steps_planned, r.fraction,
                (SELECT count(*) FROM base.epochs e WHERE e.run_no = r.run_no AND e.counted) AS counted_epochs,
                r.device, r.precision, r.message, r.suite_fingerprint, r.training_fingerprint, r.versions, r.config,
                r.created_at, r.finished_at, r.kept_step, r.stopping_flops, r.stopping_seconds, r.snapshot_flops,
                r.snapshot_seconds
            FROM base.runs r JOIN base.suites s USING (suite_no)
            LEFT JOIN base.subsets x ON x.subset_no = r.subset_no
            LEFT JOIN base.runs f ON f.run_no = r.reference_run_no;
        """,
    ),
    (
        "runs are removed softly",
        """
        CREATE TABLE base.all_runs (
            run_no BIGINT PRIMARY KEY, run_id VARCHAR NOT NULL UNIQUE, name VARCHAR NOT NULL,
            suite_no BIGINT NOT NULL, suite_fingerprint VARCHAR NOT NULL, training_fingerprint VARCHAR NOT NULL,
            model VARCHAR NOT NULL, num_layers INTEGER NOT NULL, subset_no BIGINT, method VARCHAR NOT NULL,
            seed BIGINT NOT NULL, status VARCHAR NOT NULL, message VARCHAR NOT NULL, reference_run_no BIGINT,
            fraction DOUBLE NOT NULL, num_steps_planned BIGINT, num_optimizer_steps BIGINT, num_examples_seen BIGINT,
            resumed_from_step BIGINT, train_flops DOUBLE, train_seconds DOUBLE, evaluation_flops DOUBLE,
            evaluation_seconds DOUBLE, peak_memory_mib DOUBLE, device VARCHAR, precision VARCHAR, versions VARCHAR,
            config VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, finished_at TIMESTAMP, kept_step BIGINT,
            stopping_flops DOUBLE, stopping_seconds DOUBLE, snapshot_flops DOUBLE, snapshot_seconds DOUBLE,
            removed_at TIMESTAMP
        );
        INSERT INTO base.all_runs BY NAME SELECT * FROM base.runs;
        DROP TABLE base.runs;
        CREATE TABLE base.all_suites (
            suite_no BIGINT PRIMARY KEY, name VARCHAR NOT NULL, fingerprint VARCHAR NOT NULL,
            training_fingerprint VARCHAR NOT NULL, labels VARCHAR[] NOT NULL, is_pair BOOLEAN NOT NULL,
            warnings VARCHAR[] NOT NULL, created_at TIMESTAMP NOT NULL, removed_at TIMESTAMP
        );
        INSERT INTO base.all_suites BY NAME SELECT * FROM base.suites;
        DROP TABLE base.suites;

        -- What was removed is thereby in no view and no query, but for those of removing, restoring and purging.
        -- A column that is added to a table is in these views only when they are made anew.
        CREATE VIEW base.runs AS SELECT * FROM base.all_runs WHERE removed_at IS NULL;
        CREATE VIEW base.suites AS SELECT * FROM base.all_suites WHERE removed_at IS NULL;
        """,
    ),
    (
        "what a method adds to its reference's cost",
        """
        ALTER TABLE base.all_runs ADD COLUMN selecting_flops DOUBLE;
        ALTER TABLE base.all_runs ADD COLUMN selecting_seconds DOUBLE;
        CREATE OR REPLACE VIEW base.runs AS SELECT * FROM base.all_runs WHERE removed_at IS NULL;
        CREATE OR REPLACE VIEW runs AS
            SELECT r.run_id, r.name, s.name AS suite, r.model, r.num_layers, x.subset, r.method, r.seed, r.status,
                f.run_id AS reference_run, r.num_optimizer_steps, r.num_examples_seen, r.resumed_from_step,
                r.train_flops, r.train_seconds, r.evaluation_flops, r.evaluation_seconds, r.peak_memory_mib,
                r.num_steps_planned, r.fraction,
                (SELECT count(*) FROM base.epochs e WHERE e.run_no = r.run_no AND e.counted) AS counted_epochs,
                r.device, r.precision, r.message, r.suite_fingerprint, r.training_fingerprint, r.versions, r.config,
                r.created_at, r.finished_at, r.kept_step, r.stopping_flops, r.stopping_seconds, r.snapshot_flops,
                r.snapshot_seconds, r.selecting_flops, r.selecting_seconds
            FROM base.runs r JOIN base.suites s USING (suite_no)
            LEFT JOIN base.subsets x ON x.subset_no = r.subset_no
            LEFT JOIN base.runs f ON f.run_no = r.reference_run_no;
        """,
    ),
    (
        "in which batch of its epoch an example was seen",
        """
        ALTER TABLE base.dynamics ADD COLUMN step INTEGER;
        ALTER TABLE base.data_map ADD COLUMN adjusted_variability DOUBLE;
        CREATE OR REPLACE VIEW dynamics AS
            SELECT r.run_id, d.epoch, e.example_id, e.label, d.logits,
                exp(d.logits[list_position(s.labels, e.label)] - list_max(d.logits))
                    / list_sum(list_transform(d.logits, lambda z: exp(z - list_max(d.logits)))) AS gold_probability,
                d.step
            FROM base.dynamics d JOIN base.runs r USING (run_no) JOIN base.suites s USING (suite_no)
            JOIN base.examples e ON e.suite_no = r.suite_no AND e.split = 'train' AND e.position = d.position;
        CREATE OR REPLACE VIEW data_map AS
            SELECT r.run_id, e.example_id, e.label, m.predicted_label, m.confidence, m.variability, m.correctness,
                m.correct_epochs, m.forgetting_events, m.never_learnt, m.threshold_closeness, m.aum, m.el2n, m.loss,
                m.entropy, m.aleatoric, m.first_learnt_epoch, m.prediction_flips, m.label_quality,
                m.adjusted_variability
            FROM base.data_map m JOIN base.runs r USING (run_no)
            JOIN base.examples e ON e.suite_no = r.suite_no AND e.split = 'train' AND e.position = m.position;
        """,
    ),
]


def migrate(connection: duckdb.DuckDBPyConnection) -> None:
    """Bring the schema up to date; nothing happens when it is.

    :raises WorkspaceError: when the file was written by a newer version.
    """
    connection.execute("CREATE SCHEMA IF NOT EXISTS base")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS base.migrations"
        " (number INTEGER PRIMARY KEY, name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)"
    )
    row = connection.execute("SELECT coalesce(max(number), 0) FROM base.migrations").fetchone()
    assert row is not None
    applied = int(row[0])
    if applied > len(MIGRATIONS):
        raise WorkspaceError(
            f"The database has schema {applied}, but this version of ftft knows schemas up to {len(MIGRATIONS)}; "
            "install the newer version that wrote it."
        )
    for number, (name, script) in enumerate(MIGRATIONS[applied:], start=applied + 1):
        connection.begin()
        try:
            connection.execute(script)
            connection.execute("INSERT INTO base.migrations VALUES (?, ?, now()::TIMESTAMP)", [number, name])
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
