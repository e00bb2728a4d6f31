import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect } from 'chai'

const FOLDER = join(import.meta.dirname, 'mutants')

describe('simulation: planted bugs', () => {
  it('can each be planted into the sources as they are', function () {
    if (!isGitHere()) {
      console.log('      SKIPPED: there is no git, which plants them')
      this.skip()
    }
    const patches = readdirSync(FOLDER).filter(name => name.endsWith('.patch'))
    expect(patches.length).to.be.above(40)
    const rotten = patches.filter(name => !applies(join(FOLDER, name)))
    expect(rotten).to.deep.equal([])
  })
})

function isGitHere(): boolean {
  try {
    execFileSync('git', ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}

function applies(patch: string): boolean {
  try {
    execFileSync('git', ['apply', '-C1', '--recount', '--check', patch], { stdio: 'pipe' })
    return true
  } catch {
    return false
  }
}
