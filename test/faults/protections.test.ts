import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { protections } from './protections.ts';

const read = (file: string): string => readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8');

describe('faults: protections', () => {
  it('stand where the list says, once, and so do their tests', () => {
    expect(protections.length).to.be.greaterThan(5);
    for (const { file, line, without, test, title } of protections) {
      expect(read(file).split(line), `${file}: ${line}`).to.have.length(2);
      expect(without).to.not.equal(line);
      expect(read(test).split(title).length, `${test}: ${title}`).to.be.greaterThan(1);
    }
  });
});
