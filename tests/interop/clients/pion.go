// pion/turn: one allocation and twenty peers behind it. Each peer sends back what comes.
//
//	pion-peers HOST PORT udp|tcp USER PASSWORD COUNT PAUSE
package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/pion/logging"
	"github.com/pion/turn/v2"
)

const (
	peers = 20 // all are in each CreatePermission with which pion renews its permissions
	late  = 30 // seconds that the last messages get to come back, on a busy machine, too
	// Over TCP pion waits for more where a message has less than five bytes.
	numbered = "%0160d"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A peer at a loopback address of its own, because a permission is for an address.
func peer(number int) net.Addr {
	conn, err := net.ListenPacket("udp4", fmt.Sprintf("127.0.1.%d:0", number+1))
	check(err)
	go func() {
		message := make([]byte, 1500)
		for {
			size, from, err := conn.ReadFrom(message)
			check(err)
			_, err = conn.WriteTo(message[:size], from)
			check(err)
		}
	}()
	return conn.LocalAddr()
}

func reach(transport, relay string) net.PacketConn {
	if transport == "udp" {
		conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
		check(err)
		return conn
	}
	conn, err := net.Dial("tcp", relay)
	check(err)
	return turn.NewSTUNConn(conn)
}

func allocate(conn net.PacketConn, relay, user, password string) net.PacketConn {
	client, err := turn.NewClient(&turn.ClientConfig{
		STUNServerAddr: relay,
		TURNServerAddr: relay,
		Conn:           conn,
		Username:       user,
		Password:       password,
		LoggerFactory:  logging.NewDefaultLoggerFactory(),
	})
	check(err)
	check(client.Listen())
	relayed, err := client.Allocate()
	check(err)
	return relayed
}

func main() {
	relay, transport, user, password := net.JoinHostPort(os.Args[1], os.Args[2]), os.Args[3], os.Args[4], os.Args[5]
	count, err := strconv.Atoi(os.Args[6])
	check(err)
	pause, err := strconv.ParseFloat(os.Args[7], 64)
	check(err)
	relayed := allocate(reach(transport, relay), relay, user, password)

	var lock sync.Mutex
	missing := map[string]bool{}
	go func() {
		message := make([]byte, 1500)
		for {
			size, from, err := relayed.ReadFrom(message)
			check(err)
			lock.Lock()
			delete(missing, fmt.Sprint(from, " ", string(message[:size])))
			lock.Unlock()
		}
	}()

	there := make([]net.Addr, peers)
	for number := range there {
		there[number] = peer(number)
	}
	for number := 0; number < count; number++ {
		message := fmt.Sprintf(numbered, number)
		for _, address := range there {
			lock.Lock()
			missing[fmt.Sprint(address, " ", message)] = true
			lock.Unlock()
			_, err := relayed.WriteTo([]byte(message), address)
			check(err)
		}
		time.Sleep(time.Duration(pause * float64(time.Second)))
	}
	for waited, left := 0, 1; left > 0 && waited < late; waited++ {
		time.Sleep(time.Second)
		lock.Lock()
		left = len(missing)
		lock.Unlock()
	}

	lock.Lock()
	defer lock.Unlock()
	for message := range missing {
		fmt.Println("lost:", message)
	}
	fmt.Printf("heard %d through relay\n", count-(len(missing)+peers-1)/peers)
}
