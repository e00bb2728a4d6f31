import { readFileSync } from 'node:fs'
import { expect } from 'chai'

describe('documentation', () => {
  it('names every dependency with its reason, and no other', () => {
    const pkg = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, Record<string, string>>
    const installed = [...Object.keys(pkg.dependencies!), ...Object.keys(pkg.devDependencies!)].sort()
    const rows = readFileSync('docs/dependencies.md', 'utf8')
      .split('\n')
      .filter(line => line.startsWith('| `'))
    const named = rows.flatMap(row => [...row.split('|')[1]!.matchAll(/`([^`]+)`/g)].map(match => match[1]!)).sort()
    expect(named).to.deep.equal(installed)
    for (const row of rows) expect(row.split('|')[2]!.trim(), row).to.not.equal('')
  })
})
