-- Where the last message of each tenant came to stand. A topic that ends before it was made anew: everything is sent again.
ALTER TABLE transport.relayed
  ADD COLUMN partition integer CHECK (partition >= 0),
  ADD COLUMN message_offset bigint CHECK (message_offset >= 0),
  ADD CHECK ((partition IS NULL) = (message_offset IS NULL));
COMMENT ON COLUMN transport.relayed.seq IS '0: nothing, or the topic was made anew and everything is sent again.';
COMMENT ON COLUMN transport.relayed.message_offset IS 'Offset of that fact''s message in its partition; NULL while seq is 0.';
