import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * Runs every example of this folder in a process of its own and holds what it prints against the ```text block in its
 * head comment, which is the only place where the expected output is written down.
 */
const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const EXAMPLE_TIMEOUT_MS = 30_000

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly problem: string | undefined
}

/** The ```text block of a file's first comment, without the comment's stars. */
function expectedOutput(source: string): string | undefined {
  const head = source.slice(0, source.indexOf('*/'))
  const block = head.match(/```text\n([\s\S]*?)\n \* ```/)?.[1]
  return block?.replaceAll(/^ \* ?/gm, '')
}

function run(file: string): Promise<Outcome> {
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['--import', 'tsx', file], { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr, late] = ['', '', false]
    child.stdout.setEncoding('utf8').on('data', text => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, EXAMPLE_TIMEOUT_MS)
    child.on('close', code => {
      clearTimeout(timer)
      const problem = late
        ? `it did not end within ${EXAMPLE_TIMEOUT_MS} ms`
        : code === 0
          ? undefined
          : `exit code ${code}`
      resolve({ stdout, stderr, problem })
    })
  })
}

/** What is wrong with an example; `undefined`: nothing. */
async function check(name: string): Promise<string | undefined> {
  const expected = expectedOutput(readFileSync(join(FOLDER, name), 'utf8'))
  if (expected === undefined) return 'its head comment does not say what it prints'
  const { stdout, stderr, problem } = await run(join(FOLDER, name))
  if (problem !== undefined) return `${problem}\n${stdout}${stderr}`
  if (stdout.trim() === expected.trim()) return undefined
  return `it should print\n\n${expected}\n\nand printed\n\n${stdout}${stderr}`
}

const names = readdirSync(FOLDER).filter(name => name.endsWith('.ts') && name !== 'run.ts')
let failed = 0
for (const name of names) {
  const wrong = await check(name)
  process.stdout.write(wrong === undefined ? `ok      ${name}\n` : `FAILED  ${name}: ${wrong}\n`)
  if (wrong !== undefined) failed++
}
process.stdout.write(`${names.length - failed} passed, ${failed} failed\n`)
process.exitCode = failed === 0 && names.length > 0 ? 0 : 1
