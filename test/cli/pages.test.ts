import { readFileSync } from 'node:fs'
import { expect } from 'chai'

describe('docs/errors.md', () => {
  it('names every error code and no other', () => {
    const source = readFileSync('src/core/errors.ts', 'utf8')
    const union = source.slice(source.indexOf('export type ErrorCode'), source.indexOf('\n\n'))
    const codes = [...union.matchAll(/\| '(\w+)'/g)].map(match => match[1])
    const named = [...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `(\w+)` \|/gm)].map(match => match[1])
    expect(codes.length).to.be.greaterThan(10)
    expect(named).to.deep.equal(codes)
  })
})
