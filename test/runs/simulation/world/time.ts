import { Host } from './host.js'

/** Something that will happen on a host. */
export class Task {
  readonly at: number
  readonly order: number
  readonly host: Host | undefined
  readonly what: string
  /** Undefined: it was cancelled, or has run. */
  run: (() => void) | undefined
  /** It keeps its process alive. */
  isRef = true

  constructor(at: number, order: number, host: Host | undefined, what: string, run: () => void) {
    this.at = at
    this.order = order
    this.host = host
    this.what = what
    this.run = run
  }

  get isDue(): boolean {
    return this.run !== undefined
  }

  cancel(): void {
    this.run = undefined
  }
}

/** What a turn of the event loop costs. So that chains of turns take time, and no two turns have the same. */
const TURN_MS = 0.003

/**
 * The one clock, and everything that is to happen. A task runs at its time, or later when its host is held up then; it
 * is one turn of the event loop of its host. Tasks of no host belong to the network itself.
 */
export class SimulatedTime {
  /** Milliseconds since the world began, fractions included. */
  now = 0
  /** Added to `now` for the wall clock. */
  wallOffsetMs = Date.UTC(2026, 0, 5)
  /** Whose turn it is; what is started now belongs to it. */
  current: Host
  readonly #queue = new TaskQueue()
  readonly #heldUp = new Map<Host, { readonly since: number; readonly tasks: Task[] }>()
  #scheduled = 0

  constructor() {
    this.current = new Host('test', 0)
  }

  /** @param host undefined: it happens in the network, whatever hosts are held up */
  schedule(delayMs: number, host: Host | undefined, what: string, run: () => void): Task {
    const task = new Task(this.now + delayMs, ++this.#scheduled, host, what, run)
    this.#queue.push(task)
    return task
  }

  /** As {@link schedule}, at a whole millisecond and not before the next one, as Node's timers. */
  scheduleTimer(delayMs: number, host: Host, run: () => void): Task {
    const task = new Task(Math.floor(this.now) + delayMs, ++this.#scheduled, host, 'timer', run)
    this.#queue.push(task)
    return task
  }

  /** When something comes next; undefined: nothing does. */
  get nextAt(): number | undefined {
    return this.#queue.peek()?.at
  }

  /** What comes next. @returns undefined when nothing is left to happen before `untilMs`, which is now */
  next(untilMs: number): Task | undefined {
    for (;;) {
      const task = this.#queue.peek()
      if (task === undefined || task.at > untilMs) {
        this.now = Math.max(this.now, untilMs)
        return undefined
      }
      this.#queue.pop()
      if (task.isDue && this.#mayRun(task)) {
        this.now = Math.max(this.now, task.at) + TURN_MS
        return task
      }
    }
  }

  /** One turn of the event loop of the task's host. */
  run(task: Task): void {
    const run = task.run!
    task.run = undefined
    if (task.host !== undefined) this.current = task.host
    run()
  }

  /** As if `host` did it now. */
  on<Result>(host: Host, action: () => Result): Result {
    const before = this.current
    this.current = host
    try {
      return action()
    } finally {
      this.current = before
    }
  }

  /** The host stands still: nothing of it happens before {@link resume}. */
  pause(host: Host): void {
    if (host.state !== 'running') return
    host.state = 'paused'
    this.#heldUp.set(host, { since: this.now, tasks: [] })
  }

  /** What was due meanwhile happens now, in order. */
  resume(host: Host): void {
    if (host.state !== 'paused') return
    host.state = 'running'
    const { since, tasks } = this.#heldUp.get(host)!
    this.#heldUp.delete(host)
    host.heldUpMs += this.now - since
    for (const task of tasks) this.#queue.push(task)
  }

  /** The process ends here and now: nothing of it will happen any more. */
  kill(host: Host): void {
    const heldUp = this.#heldUp.get(host)
    if (heldUp !== undefined) host.heldUpMs += this.now - heldUp.since
    host.state = 'dead'
    this.#heldUp.delete(host)
  }

  /** What a host has still scheduled. */
  pendingOf(host: Host): readonly Task[] {
    return [...this.#queue.all(), ...(this.#heldUp.get(host)?.tasks ?? [])].filter(
      task => task.isDue && task.host === host
    )
  }

  #mayRun(task: Task): boolean {
    if (task.host === undefined || task.host.state === 'running') return true
    if (task.host.state === 'paused') this.#heldUp.get(task.host)!.tasks.push(task)
    return false
  }
}

/** A binary heap by time, then by order of scheduling. */
class TaskQueue {
  readonly #tasks: Task[] = []

  all(): Iterable<Task> {
    return this.#tasks
  }

  peek(): Task | undefined {
    return this.#tasks[0]
  }

  push(task: Task): void {
    const tasks = this.#tasks
    let at = tasks.length
    tasks.push(task)
    while (at > 0) {
      const above = (at - 1) >> 1
      if (isBefore(tasks[above]!, task)) break
      tasks[at] = tasks[above]!
      at = above
    }
    tasks[at] = task
  }

  pop(): void {
    const tasks = this.#tasks
    const last = tasks.pop()!
    if (tasks.length === 0) return
    let at = 0
    for (;;) {
      let below = 2 * at + 1
      if (below >= tasks.length) break
      if (below + 1 < tasks.length && isBefore(tasks[below + 1]!, tasks[below]!)) below++
      if (isBefore(last, tasks[below]!)) break
      tasks[at] = tasks[below]!
      at = below
    }
    tasks[at] = last
  }
}

const isBefore = (a: Task, b: Task): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
