-- Messages whose facts may not go in while a write path is closed wait for its gate, and are found by it when it opens.
ALTER TABLE transport.letters ADD COLUMN waits_for text COLLATE "C";
COMMENT ON COLUMN transport.letters.waits_for IS 'Tenant and stream of the closed gate that the message waits for, with a space between them; NULL when it waits for none.';
CREATE INDEX letters_waiting ON transport.letters (waits_for, topic, partition, message_offset)
  WHERE state = 'held' AND waits_for IS NOT NULL;
