-- What requests say of their users and purposes, as far as the configuration records it.

ALTER TABLE attempts ADD COLUMN tags TEXT NOT NULL DEFAULT ''; -- a JSON object of texts, or nothing
