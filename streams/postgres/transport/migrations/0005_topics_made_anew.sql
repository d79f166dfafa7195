-- A topic that was made anew has other messages at offsets that were taken already: it is taken from its beginning, as
-- another incarnation of the partition. What was taken of those before it stays counted.
ALTER TABLE transport.positions
  ADD COLUMN incarnation integer NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
  ADD COLUMN passed_before bigint NOT NULL DEFAULT 0 CHECK (passed_before >= 0);
COMMENT ON COLUMN transport.positions.incarnation IS 'How often the topic was found made anew.';
COMMENT ON COLUMN transport.positions.passed_before IS 'Offsets passed of the topics of that name that were there before.';
ALTER TABLE transport.letters
  ADD COLUMN incarnation integer NOT NULL DEFAULT 0 CHECK (incarnation >= 0),
  DROP CONSTRAINT letters_topic_partition_message_offset_key,
  ADD UNIQUE (topic, partition, incarnation, message_offset);
COMMENT ON COLUMN transport.letters.incarnation IS 'Of the partition, when the message was taken: what came first has the lower one.';
DROP INDEX transport.letters_open;
CREATE INDEX letters_open ON transport.letters (topic, partition, key, incarnation, message_offset)
  WHERE state IN ('dead', 'held');
DROP INDEX transport.letters_waiting;
CREATE INDEX letters_waiting ON transport.letters (waits_for, topic, partition, incarnation, message_offset)
  WHERE state = 'held' AND waits_for IS NOT NULL;
