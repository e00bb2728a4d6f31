import { readFileSync } from 'node:fs'
import { expect } from 'chai'
import { ERROR_CODES } from '../../src/core/errors.js'

describe('docs/errors.md', () => {
  it('names every error code and no other', () => {
    const named = [...readFileSync('docs/errors.md', 'utf8').matchAll(/^\| `(\w+)` \|/gm)].map(match => match[1])
    expect(named).to.deep.equal([...ERROR_CODES])
  })
})
