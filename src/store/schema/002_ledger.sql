-- What drives were asked to do (src/model/task.h), the last of each: `task` is its id. Drives that are not ours have
-- tasks too, so this is a table of its own. The words in the CHECK are those of TASK_STATES.
CREATE TABLE tasks (
    key   TEXT NOT NULL PRIMARY KEY CHECK (key <> ''),
    task  TEXT NOT NULL CHECK (task <> ''),
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed', 'refused')),
    doc   TEXT NOT NULL,
    sum   INTEGER NOT NULL
) STRICT;

CREATE TRIGGER tasks_once BEFORE UPDATE ON tasks
WHEN NEW.task = OLD.task AND OLD.state IN ('done', 'failed', 'refused') AND NEW.state <> OLD.state
BEGIN SELECT RAISE(ABORT, 'a task acts once'); END;
