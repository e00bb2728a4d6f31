import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

const HOME = 'src/core/instants.ts'

describe('times as texts', () => {
  it('are made in one place, which knows those of which there is no text', () => {
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' })
      .filter(name => /\.m?[jt]s$/.test(name))
      .map(name => join('src', name))
    const makers = files.filter(file => /\.toISOString\b/.test(readFileSync(file, 'utf8')))
    expect(makers).to.deep.equal([HOME])
  })
})
