import { readFileSync } from 'node:fs'
import { expect } from 'chai'

/** Lines that two changes have merged into the changelog without its order would be read by nobody. */
describe('docs/changelog.md', () => {
  const lines = readFileSync('docs/changelog.md', 'utf8').split('\n')

  it('has every entry below the heading of a part', () => {
    let heading = ''
    const orphans: string[] = []
    for (const line of lines) {
      if (line.startsWith('#')) heading = line
      else if (line.startsWith('- ') && !heading.startsWith('### ')) orphans.push(line)
    }
    expect(orphans, 'move these to the part that they concern').to.deep.equal([])
  })

  it('says nothing twice', () => {
    const seen = new Set<string>()
    const again = lines.filter(line => line.length > 20 && seen.size === seen.add(line).size)
    expect(again).to.deep.equal([])
  })
})
