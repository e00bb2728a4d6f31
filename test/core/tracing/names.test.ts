import { readFileSync } from 'node:fs'
import * as stable from '@opentelemetry/semantic-conventions'
import * as all from '@opentelemetry/semantic-conventions/incubating'
import { expect } from 'chai'
import { attributes } from '../../../src/core/tracing/names.js'

const valuesOf = (table: object): Set<unknown> => new Set(Object.values(table))

describe('names in spans', () => {
  const named = Object.values(attributes).filter(name => !name.startsWith('castellan.'))

  it('are those of the semantic conventions, and those of HTTP are stable ones', () => {
    expect(named.filter(name => !valuesOf(all).has(name))).to.deep.equal([])
    const unstable = named.filter(name => !valuesOf(stable).has(name))
    expect(unstable.filter(name => !name.startsWith('messaging.'))).to.deep.equal([])
  })

  it('are all in docs/tracing.md', () => {
    const page = readFileSync('docs/tracing.md', 'utf8')
    expect(Object.values(attributes).filter(name => !page.includes(`\`${name}\``))).to.deep.equal([])
  })
})
