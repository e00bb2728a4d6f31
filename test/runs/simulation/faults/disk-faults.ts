import type { SeededRandom } from '../../../support/random.js'
import { type DiskFaults, eio } from '../../../support/simulated-disk.js'
import type { SimulatedProcess } from '../process.js'
import { type FaultKind, type FaultTargets, nothing } from './fault.js'

type Operation = Parameters<NonNullable<DiskFaults['before']>>[0]

const NO_DISK = nothing('there is no disk')

const someWithDisk = ({ processes }: FaultTargets, random: SeededRandom): SimulatedProcess | undefined => {
  const all = processes.filter(({ disk }) => disk !== undefined)
  return all.length === 0 ? undefined : random.pick(all)
}

const WRITING: readonly Operation[] = ['create', 'write', 'sync', 'syncDirectory', 'truncate', 'rename', 'remove']

/** The power goes: the process is gone, and of what was not synced some is lost, some torn. */
const powerCut: FaultKind = (targets, random) => {
  const process = someWithDisk(targets, random)
  if (process === undefined) return NO_DISK
  const restart = process.kill?.()
  process.disk!.powerCut(random)
  return restart === undefined ? nothing(`${process.name} is not there`) : { what: process.name, stop: restart }
}

/** The process dies, or the power goes, in the middle of what it does with the disk. */
const dieWriting: FaultKind = (targets, random) => {
  const process = someWithDisk(targets, random)
  if (process === undefined) return NO_DISK
  const disk = process.disk!
  const isPowerCut = random.between(0, 1) === 1
  let operationsLeft = random.between(0, 12)
  let restart: (() => void) | undefined
  let isDead = false
  const mend = disk.fail(operation => {
    if (!WRITING.includes(operation)) return
    if (!isDead && operationsLeft-- > 0) return
    // Whatever the code does about it in this turn, nobody hears of it.
    if (!isDead) restart = process.kill?.()
    isDead = true
    throw eio()
  })
  const stop = (): void => {
    mend()
    if (isDead && isPowerCut) disk.powerCut(random)
    restart?.()
  }
  return { what: `${process.name} after ${operationsLeft} operations${isPowerCut ? ', without power' : ''}`, stop }
}

/** Calls of the disk fail: some of one kind, or all. */
const failDisk: FaultKind = (targets, random) => {
  const disk = someWithDisk(targets, random)?.disk
  if (disk === undefined) return NO_DISK
  const kinds = random.pick([['write'], ['sync'], ['read'], ['create', 'rename', 'syncDirectory'], WRITING] as const)
  const count = random.pick([1, 2, Number.POSITIVE_INFINITY])
  let left = count
  const stop = disk.fail(operation => {
    if ((kinds as readonly Operation[]).includes(operation) && left-- > 0) throw eio()
  })
  return { what: `${count} times EIO for ${kinds}`, stop }
}

/** There is hardly any space. */
const fillDisk: FaultKind = (targets, random) => {
  const files = someWithDisk(targets, random)?.disk?.disk
  if (files === undefined) return NO_DISK
  const bytes = random.pick([0, 100, 5_000])
  files.capacityBytes = files.usedBytes + bytes
  return { what: `room for ${bytes} bytes`, stop: () => (files.capacityBytes = Number.POSITIVE_INFINITY) }
}

/** Everything takes the disk longer. */
const slowDisk: FaultKind = (targets, random) => {
  const disk = someWithDisk(targets, random)?.disk
  if (disk === undefined) return NO_DISK
  const slowMs = random.pick([5, 50, 500])
  disk.slowMs = slowMs
  return { what: `${slowMs} ms for each call`, stop: () => (disk.slowMs = 0) }
}

const FLIPS = [1, 5, 30]

/** The process is killed, and bits of a file of its log have changed when it comes back. */
const flipBits: FaultKind = (targets, random) => {
  const process = someWithDisk(targets, random)
  if (process === undefined) return NO_DISK
  const restart = process.kill?.()
  if (restart === undefined) return nothing(`${process.name} is not there`)
  const count = random.pick(FLIPS)
  return { what: `${count} in ${process.disk!.flipBits(random, count) ?? 'no file'}`, stop: restart }
}

export const diskFaults = { flipBits, powerCut, dieWriting, failDisk, fillDisk, slowDisk }
