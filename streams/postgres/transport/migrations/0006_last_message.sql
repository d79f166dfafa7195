-- A topic that was made anew may have grown past the position before anybody looked: its ends say nothing then. What it
-- has in the place of the last message that was taken does.
ALTER TABLE transport.positions
  ADD COLUMN last_message bytea CHECK (octet_length(last_message) = 32);
COMMENT ON COLUMN transport.positions.last_message IS 'SHA-256 over key, value and time of the message before next_offset; NULL: none was taken since the topic is known.';
