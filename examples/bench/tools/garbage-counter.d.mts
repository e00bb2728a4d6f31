export declare class Garbage {
  stop(): number
}
