import { execFile } from 'node:child_process'
import { cp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect } from 'chai'
import { copyProject, removeCopy } from '../../support/project-copy.js'
import { plant, readSources, type Sources } from '../simulation/mutants/plant.js'
import { roomBugs } from './room-bugs.js'

const COPIED = ['src', 'test', 'package.json', 'tsconfig.json', '.mocharc.json']
const SEED = '1'
/** A bug that makes its tests hang is to be planted otherwise. */
const LIMIT_MS = 90_000

interface Report {
  readonly passes: number
  /** Titles of the tests that have failed. */
  readonly red: readonly string[]
}

/** Runs one file of tests in a copy of the project, each time with the same seed. */
function run(folder: string, file: string): Promise<Report> {
  const env = { ...process.env, TEST_SEED: SEED }
  const args = [join('node_modules', 'mocha', 'bin', 'mocha.js'), '--reporter', 'tap', file]
  const options = { cwd: folder, env, maxBuffer: 64 * 1024 * 1024, timeout: LIMIT_MS }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, options, (_, stdout, stderr) => {
      const red = [...stdout.matchAll(/^not ok \d+ (.*)$/gm)].map(([, title]) => title!)
      const passes = [...stdout.matchAll(/^ok \d+ /gm)].length
      if (/^# tests \d+$/m.test(stdout)) resolve({ passes, red })
      else reject(new Error(`${file} has not ended:\n${stdout}\n${stderr}`))
    })
  })
}

describe('a bug that is planted into a room', function () {
  this.timeout(120_000)
  let folder: string
  let sources: Sources
  before(async () => {
    sources = await readSources('src')
    folder = await copyProject('room-bugs', COPIED)
  })
  after(() => removeCopy(folder))

  for (const bug of roomBugs)
    it(`is noticed by ${bug.test}: ${bug.name}`, async () => {
      const planted = plant(bug, sources)
      for (const [path, text] of planted) await writeFile(join(folder, path), text)
      try {
        const { passes, red } = await run(folder, bug.test)
        expect(red, bug.about).to.not.deep.equal([])
        expect(passes, 'the file is read, and most of it is as it was').to.be.above(0)
        console.log(`      ${red.length} red, the first one: ${red[0]}`)
      } finally {
        for (const path of planted.keys()) await cp(path, join(folder, path))
      }
    })
})
